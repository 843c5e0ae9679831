"""Run ncnn networks under the emulator, between marks that the counter sees.

Usage: `ncnn_worker.py JOBS.json`. It needs the standard library and ncnn only. The file is a list
of [label, path of a .param file, [width, height, channels], evict]. Options are those of ncnn's
benchmark program, weights are all zero. The run of a network is marked with its label. Before it
comes a run to warm up, or with `evict` more bytes than the caches hold are overwritten.
"""

import ctypes
import json
import os
import sys

import ncnn

MARK = 0x7EED
EVICT_BYTES = 4 * 2**20


def main() -> None:
    mark = ctypes.CDLL(None).syscall
    with open(sys.argv[1]) as file:  # noqa: PTH123
        jobs = json.load(file)
    other = ctypes.create_string_buffer(EVICT_BYTES)
    for label, path, (width, height, channels), evict in jobs:
        blobs, workspace = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
        net = ncnn.Net()
        net.opt.num_threads = 1
        net.opt.lightmode = True
        net.opt.blob_allocator, net.opt.workspace_allocator = blobs, workspace
        if net.load_param(path) != 0 or net.load_model(ncnn.DataReaderFromEmpty()) != 0:
            sys.exit(f"ncnn cannot load {path}")
        image = ncnn.Mat(width, height, channels)
        image.fill(0.01)
        for counted in (True,) if evict else (False, True):
            if evict:
                ctypes.memset(other, 1, len(other))
            if counted:
                mark(MARK, 1, label)
            extractor = net.create_extractor()
            extractor.input("in0", image)
            result, out = extractor.extract("out0")
            if counted:
                mark(MARK, 2, label)
            if result != 0:
                sys.exit(f"ncnn cannot run {path}")
            del extractor, out
        del image
        net.clear()
        del net
        print(label, flush=True)
    sys.stdout.flush()
    os._exit(0)  # pools are torn down in no useful order


main()
