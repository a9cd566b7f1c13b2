"""The ways into the kernel that each machine has.  Pure; apart, because a start asks without compiling a filter."""

from __future__ import annotations

from rootless.typed import NamedTuple


class Abi(NamedTuple):
    """A way into the kernel: libseccomp's name for it, docker's, and the kernel's AUDIT_ARCH."""

    token: str
    profile_name: str
    audit: int
    secondary: tuple[str, ...] = ()


ABIS = {
    "x86_64": Abi("SCMP_ARCH_X86_64", "amd64", 0xC000003E, ("x86", "x32")),
    "x86": Abi("SCMP_ARCH_X86", "x86", 0x40000003),
    "x32": Abi("SCMP_ARCH_X32", "x32", 0xC000003E),
    "aarch64": Abi("SCMP_ARCH_AARCH64", "arm64", 0xC00000B7, ("arm",)),
    "arm": Abi("SCMP_ARCH_ARM", "arm", 0x40000028),
    "riscv64": Abi("SCMP_ARCH_RISCV64", "riscv64", 0xC00000F3),
    "ppc64le": Abi("SCMP_ARCH_PPC64LE", "ppc64le", 0xC0000015),
    "s390x": Abi("SCMP_ARCH_S390X", "s390x", 0x80000016),
}
