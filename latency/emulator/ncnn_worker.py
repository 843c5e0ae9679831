"""Runs under the emulator: ncnn networks between marks that the counter sees.

Stands alone (the standard library and ncnn): `ncnn_worker.py JOBS.json`, a list of
[label, path of a .param file, [width, height, channels], runs, options, evict]; other options are
as ncnn's benchmark program sets them. Run r of a network is marked label * 16 + r. One more run
comes first, to warm up, or with `evict` none: more than the caches hold is written over before
each run instead. Weights are all zero.
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
    for label, path, (width, height, channels), runs, options, evict in jobs:
        blobs, workspace = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
        net = ncnn.Net()
        net.opt.num_threads = 1
        net.opt.lightmode = True
        net.opt.blob_allocator, net.opt.workspace_allocator = blobs, workspace
        for name, value in options.items():
            setattr(net.opt, name, value)
        if net.load_param(path) != 0 or net.load_model(ncnn.DataReaderFromEmpty()) != 0:
            sys.exit(f"ncnn cannot load {path}")
        image = ncnn.Mat(width, height, channels)
        image.fill(0.01)
        for run in range(int(evict), runs + 1):
            if evict:
                ctypes.memset(other, run, len(other))
            if run:
                mark(MARK, 1, label * 16 + run)
            extractor = net.create_extractor()
            extractor.input("in0", image)
            result, out = extractor.extract("out0")
            if run:
                mark(MARK, 2, label * 16 + run)
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
