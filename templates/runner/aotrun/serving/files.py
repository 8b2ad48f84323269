"""How many files a process may have open, of which each connection is one."""

from __future__ import annotations

import ctypes

_RLIMIT_NOFILE = 7


class _Limit(ctypes.Structure):
    _fields_ = [("soft", ctypes.c_ulong), ("hard", ctypes.c_ulong)]


def allow(wanted: int) -> int:
    """Let this process and its forks open so many files, as far as the system allows; returns how many they may."""
    libc = ctypes.CDLL(None)
    limit = _Limit()
    if libc.getrlimit(_RLIMIT_NOFILE, ctypes.byref(limit)) != 0:
        return wanted
    if limit.soft < wanted:
        raised = _Limit(min(wanted, limit.hard), limit.hard)
        if libc.setrlimit(_RLIMIT_NOFILE, ctypes.byref(raised)) == 0:
            limit = raised
    return min(wanted, int(limit.soft))
