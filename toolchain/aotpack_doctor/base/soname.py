"""Whose a library is, by its name."""

from __future__ import annotations

import re

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


def is_glibc(soname: str) -> bool:
    """Whether a library is a part of glibc."""
    return any(matches(soname, pattern) for pattern in GLIBC)


def matches(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern, in which `*` stands for anything. (fnmatch does not travel in bundles.)"""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None
