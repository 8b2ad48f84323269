"""Where a library comes from: the C library, GCC's runtime, torch, a toolkit."""

from __future__ import annotations

from enum import Enum

from aotpack.patterns import matches_any
from aotpack_doctor.base.soname import is_glibc

#: GCC's run-time libraries that a C++ host program may bring in a newer version of its own.
GCC_RUNTIME = ("libstdc++.so.6", "libgcc_s.so.1")


class Origin(Enum):
    """Whose library it is, which decides where it goes in a bundle and whether it may be left out."""

    GLIBC = "libc"
    GCC = "gcc"
    #: Everything else that travels: torch's, the vendor's, ours, a distribution's.
    BUNDLED = "bundled"


def origin_of(soname: str) -> Origin:
    """Origin of a library by its name."""
    if is_glibc(soname):
        return Origin.GLIBC
    return Origin.GCC if matches_any(soname, GCC_RUNTIME) else Origin.BUNDLED
