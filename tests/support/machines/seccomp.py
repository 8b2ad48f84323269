"""Answers that a kernel gives elsewhere: in a container whose profile forbids something, on one that is older.

For `preexec_fn`: what is set holds for the process and its children until they end.
"""

from __future__ import annotations

import ctypes
import os
import struct

#: The status of a process where seccomp itself is not to be had.
UNAVAILABLE = 99
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2
#: struct seccomp_data: the call's number and its first argument.
_NUMBER, _ARGUMENT = 0, 16
#: BPF: load a word, jump if it is equal, return.
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_KILL, _ANSWER, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000


def answer(call: int, error: int, *, argument: int | None = None) -> None:
    """Let a system call end with an error without being made; with 0, as if it had been.

    Args:
        call: Linux's number of it.
        error: an errno.
        argument: only where this is its first argument.
    """
    _set(call, _ANSWER | error, argument)


def kill(call: int) -> None:
    """Let a system call end the process that makes it, as SIGKILL would.

    Args:
        call: Linux's number of it.
    """
    _set(call, _KILL, None)


def _set(call: int, verdict: int, argument: int | None) -> None:
    only = [] if argument is None else [(_LOAD, 0, 0, _ARGUMENT), (_EQUAL, 0, 1, argument)]
    program = [
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 0, len(only) + 1, call),
        *only,
        (_RETURN, 0, 0, verdict),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("<HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    loaded = ctypes.create_string_buffer(struct.pack("<H6xQ", len(program), ctypes.addressof(buffer)), 16)
    libc = ctypes.CDLL(None)
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_SET_SECCOMP, _FILTER, loaded, 0, 0):
        os._exit(UNAVAILABLE)
