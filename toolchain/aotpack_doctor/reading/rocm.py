"""How ROCm's libraries stand to the data that they look for beside themselves."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from aotpack_doctor.base import elf
from aotpack_doctor.base.soname import matches
from aotpack_doctor.facts import RocmTree


class Data(NamedTuple):
    """A library that does not work without its data.

    Attributes:
        library: pattern of its file name.
        path: of the data, relative to the library's folder.
        follows_links: whether the library looks from its real place.
    """

    library: str
    path: str
    follows_links: bool = False


#: The rows of recipes/rocm.toml that are marked as needed.
DATA = (
    Data("librocblas.so*", "rocblas/library"),
    Data("libhipblaslt.so*", "hipblaslt/library"),
    Data("libhipsparselt.so*", "hipsparselt/library"),
    Data("libMIOpen.so*", "../share/miopen/db", follows_links=True),
    Data("libaotriton*.so*", "aotriton.images"),
)


def read_rocm_tree(*folders: str) -> RocmTree:
    """How the ROCm libraries in these folders stand to their data."""
    runtimes: dict[tuple[int, int], str] = {}
    no_data: list[tuple[str, str]] = []
    lonely: list[tuple[str, str]] = []
    search_kind = None
    for folder in folders:
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            path = os.path.join(folder, name)
            if re.match(r"libamdhip64\.so", name) and os.path.exists(path):
                status = os.stat(path)
                runtimes.setdefault((status.st_dev, status.st_ino), path)
            if re.fullmatch(r"librocblas-[0-9a-f]+\.so.*", name):
                # It finds its own place by the name that it was built with.
                no_data.append((path, "data that it could find: its file name was changed"))
            if name == "libtorch_hip.so":
                search_kind = _search_kind(path)
            for data in DATA:
                if not matches(name, data.library):
                    continue
                real = os.path.dirname(os.path.realpath(path))
                if os.path.isdir(os.path.join(real if data.follows_links else folder, data.path)):
                    continue
                is_lonely = os.path.islink(path) and os.path.isdir(os.path.join(real, data.path))
                (lonely if is_lonely else no_data).append((path, data.path))
    return RocmTree(
        hip_runtimes=tuple(runtimes.values()) if len(runtimes) > 1 else (),
        no_data=tuple(no_data),
        lonely_links=tuple(lonely),
        search_kind=search_kind,
    )


def _search_kind(path: str) -> str | None:
    try:
        facts = elf.read_elf(path)
    except (OSError, ValueError):
        return None  # a damaged file is told of elsewhere
    return facts.search_kind if facts else None
