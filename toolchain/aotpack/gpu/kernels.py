"""Which GPUs a model's files of kernels are for, from the files themselves. Pure: bytes in.

AOTInductor keeps each kernel in a file beside the library. Those for several GPUs are a fatbin, the contents of an
`.nv_fatbin` section in a file of their own, or a bundle of clang-offload-bundler: a magic text, the number of entries,
and of each its offset, its size and its target, such as `hipv4-amdgcn-amd-amdhsa--gfx90a`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from aotpack.gpu import fatbin

#: How the names of files that may hold code for several GPUs end.
SUFFIXES = (".fatbin", ".hsaco")
_BUNDLE = b"__CLANG_OFFLOAD_BUNDLE__"
_COUNT = struct.Struct("<Q")
#: Offset, size, length of the target's name.
_ENTRY = struct.Struct("<QQQ")
_HOST = "host-"


def architectures(name: str, data: bytes) -> tuple[str, ...] | None:
    """What a file has code for; None for a sort of file that holds code for one GPU and does not say which.

    Raises ValueError for a damaged one.
    """
    if name.endswith(".fatbin"):
        return fatbin.architectures(fatbin.parse(data))
    return _bundled(data) if data.startswith(_BUNDLE) else None


def common(files: Iterable[tuple[str, bytes]]) -> tuple[str, ...]:
    """What all kernels of a model have code for; nothing where no file says. Raises ValueError."""
    found = [archs for name, data in files if (archs := architectures(name, data)) is not None]
    return tuple(arch for arch in found[0] if all(arch in archs for archs in found)) if found else ()


def _bundled(data: bytes) -> tuple[str, ...]:
    found = []
    try:
        (count,) = _COUNT.unpack_from(data, len(_BUNDLE))
        place = len(_BUNDLE) + _COUNT.size
        for _ in range(count):
            offset, size, length = _ENTRY.unpack_from(data, place)
            target = data[place + _ENTRY.size : place + _ENTRY.size + length].decode()
            place += _ENTRY.size + length
            if place > len(data) or offset + size > len(data):
                raise ValueError("an entry of a bundle of GPU code leaves its file")
            if not target.startswith(_HOST):
                found.append(target.rpartition("--")[2])
    except struct.error as error:
        raise ValueError(f"half a bundle of GPU code ({error})") from error
    return tuple(sorted(found))
