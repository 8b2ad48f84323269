"""Where a library comes from: the C library, GCC's runtime, torch, a toolkit."""

from __future__ import annotations

from enum import Enum

from aotpack.patterns import matches

#: glibc's own shared objects. They and the loader only work together, so they travel together or not at all.
GLIBC = (
    "ld-linux*.so.*",
    "ld64.so.*",
    "libBrokenLocale.so.1",
    "libanl.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libmvec.so.1",
    "libnsl.so.1",
    "libnss_*.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
)


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
    if matches(soname, GLIBC):
        return Origin.GLIBC
    return Origin.GCC if matches(soname, GCC_RUNTIME) else Origin.BUNDLED
