"""What of a bundle travels, in an order and with modes that no machine has a say in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aotpack.bundle.manifest import Bundle, load_bundle
from aotpack.bundle.signatures import signatures
from aotpack.errors import DamagedError, UsageError
from aotpack.verifying.static import check_static
from aotpack_doctor.base.frame import OPEN, listed
from aotpack_doctor.base.places import DESCRIPTION

#: Called with the bytes just done.
Progress = Callable[[int], None]


class Bytes(Protocol):
    """Shows progress in bytes; a reporter's `bytes` is one."""

    def __call__(self, text: str, total: int, /) -> AbstractContextManager[Progress]:
        """A phase of so many bytes."""


@dataclass(frozen=True)
class Item:
    """A folder, file or link."""

    #: Relative to the bundle, `/`-separated.
    path: str
    #: None for a folder and a link.
    file: Path | None = None
    #: Where a link points.
    link: str | None = None
    mode: int = OPEN
    #: Bytes.
    size: int = 0


def contents(folder: Path, bundle: Bundle) -> list[Item]:
    """All that belongs to a bundle, each folder before what is in it, sorted by name.

    `bundle.json` says what is there; beside it stand itself and signatures.
    """
    beside = [(path.name, path.stat().st_size) for path in (folder / DESCRIPTION, *signatures(folder))]
    return [
        Item(entry.path, None if entry.offset is None else folder / entry.path, entry.link, entry.mode, entry.size)
        for entry in listed(bundle.files, beside)
    ]


def total(items: Sequence[Item]) -> int:
    """Bytes of all files."""
    return sum(item.size for item in items)


def whole_bundle(folder: Path, progress: Progress = lambda _done: None) -> Bundle:
    """The description of a bundle that is whole and can travel: what is released is verified first.

    Raises:
        UsageError: not a bundle, or one that stays on this machine.
        DamagedError: something in it is not what was built.
    """
    bundle = load_bundle(folder)
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: a single file, which is made of a folder and never changed",
            meaning="what is packed and signed is the folder; packed, the signature is inside",
            fix=f"./{folder.name} --unpack DIR gives the folder back",
        )
    if not bundle.portable:
        raise UsageError(
            f"{folder}: a development bundle",
            meaning="it links to libraries of this machine, so it runs nowhere else",
            fix=f"aotpack build --portable --output {folder} ...",
        )
    report = check_static(folder, progress)
    if report.problems:
        shown = [f"{problem.path}: {problem.what}" for problem in report.problems]
        raise DamagedError(
            f"{folder}: {shown[0]}" + (f" (and {len(shown) - 1} more)" if shown[1:] else ""),
            meaning="the bundle is not what was built, so it is not passed on",
            fix=f"aotpack verify {folder} lists everything; build it again, or copy it again",
            detail="\n".join(shown[1:]),
        )
    return bundle


def refuse_inside(output: Path, folder: Path) -> None:
    """Raise UsageError when a release would land in the bundle that it is made of."""
    if output.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"{output}: inside of the bundle {folder}",
            meaning="a bundle is sealed: nothing is ever written into it",
            fix="choose another --output",
        )
