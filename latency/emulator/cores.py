"""Processor cores whose latencies are estimated, and their boards."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """A core as QEMU and LLVM know it, and its board.

    `name`: of QEMU's core too. `caches`: (bytes, ways) of each level's data cache. `part`: of
    MIDR_EL1. `hertz`: its clock on the board. `device`: the board's key in ncnn's published
    benchmark, and its table's target.
    """

    name: str
    mca_cpu: str
    mca_features: str
    part: str
    features: str
    caches: tuple[tuple[int, int], ...]
    hertz: float
    board: str
    device: str
    dtype: str

    @property
    def identity(self) -> tuple[object, ...]:
        """What counts and cycles depend on: neither the board nor its frequency."""
        return (
            self.name, self.mca_cpu, self.mca_features, self.part, self.features, self.caches,
        )  # fmt: skip


# Cache sizes and ways: Arm Cortex-A76 Technical Reference Manual (100798), Cortex-A72 (100095);
# sizes on the boards: Raspberry Pi's BCM2712 and BCM2711 documentation. LLVM's model of the
# Neoverse N1, which is the same core as the Cortex-A76, stands for it: LLVM 19's own
# "cortex-a76" is the Cortex-A57's.
CORES = {
    core.name: core
    for core in (
        Core(
            name="cortex-a76",
            mca_cpu="neoverse-n1",
            mca_features="+v8.2a,+fullfp16,+dotprod,+lse,+rcpc",
            part="0xd0b",
            features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid "
            "asimdrdm lrcpc dcpop asimddp",
            caches=((64 * KIB, 4), (512 * KIB, 8), (2048 * KIB, 16)),
            hertz=2.4e9,
            board="Raspberry Pi 5 (Cortex-A76 2.4 GHz)",
            device="rpi5",
            dtype="float16",
        ),
        Core(
            name="cortex-a72",
            mca_cpu="cortex-a72",
            mca_features="+v8a,+crc,+crypto",
            part="0xd08",
            features="fp asimd evtstrm crc32 cpuid",
            caches=((32 * KIB, 2), (1024 * KIB, 16)),
            hertz=1.8e9,
            board="Raspberry Pi 4 (Cortex-A72 1.8 GHz)",
            device="rpi4",
            dtype="float32",
        ),
    )
}


def get_core(name: str) -> Core:
    """The core of that name.

    Raises:
        ValueError: unknown name; the message lists the known ones.
    """
    if name not in CORES:
        raise ValueError(f"core must be one of {', '.join(CORES)}; got {name!r}")
    return CORES[name]
