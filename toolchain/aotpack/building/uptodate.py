"""Whether a bundle is still what a build would make, told from file stamps alone.

After a build the sizes and times of all that went in and came out are remembered in the user's cache (a portable bundle
must not name paths of this machine, so not in the bundle). Nothing changed means nothing to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from aotpack import __version__, resources
from aotpack.tools.cache import cache_home
from aotpack.tools.scratch import write_whole
from aotpack_doctor.base.places import is_signature
from aotpack_doctor.base.regular import read_regular

#: Size in bytes and modification time in nanoseconds; None for what is not there.
Stamp = tuple[int, int] | None


class Record(msgspec.Struct):
    """What is remembered of one build."""

    #: Of the request: options and detected torch.
    request: str
    sources: dict[str, Stamp]
    outputs: dict[str, Stamp]


def is_current(output: Path, request: str) -> bool:
    """Whether the bundle at `output` came of the same request, and neither it nor its sources changed since."""
    try:
        digest, _, content = read_regular(str(_record_path(output)), follow=False).partition(b"\n")
        if digest.decode("ascii", "replace") != hashlib.sha256(content).hexdigest():
            return False
        record = msgspec.json.decode(content, type=Record)
    except (OSError, msgspec.MsgspecError):
        return False
    return (
        record.request == _versioned(request)
        and bool(record.outputs)
        and all(_stamp(path, follow=True) == stamp for path, stamp in record.sources.items())
        and all(_stamp(output / path) == stamp for path, stamp in record.outputs.items())
        and {path for path, _ in _below(output) if not is_signature(path)} == set(record.outputs)
        and set(map(str, _own_files())) <= set(record.sources)
    )


def remember(output: Path, request: str, sources: Iterable[Path]) -> None:
    """Record a finished build. A cache that cannot be written costs the next build its time, and nothing else."""
    stamps = {str(path): _stamp(path, follow=True) for path in (*sources, *_own_files())}
    outputs = {relative: _stamp(path) for relative, path in _below(output) if not is_signature(relative)}
    path = _record_path(output)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        content = msgspec.json.encode(Record(_versioned(request), stamps, outputs))
        write_whole(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def _versioned(request: str) -> str:
    return f"aotpack {__version__} {request}"


def _record_path(output: Path) -> Path:
    name = hashlib.sha256(os.fsencode(output.absolute())).hexdigest()[:24]
    return cache_home() / "builds" / f"{name}.json"


def _stamp(path: Path | str, *, follow: bool = False) -> Stamp:
    try:
        status = Path(path).stat(follow_symlinks=follow)
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns)


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files and links below a folder with their relative names."""
    for parent, folders, files in os.walk(folder):
        for name in (*files, *(name for name in folders if (Path(parent) / name).is_symlink())):
            path = Path(parent) / name
            yield str(path.relative_to(folder)), path


def _own_files() -> Iterator[Path]:
    """aotpack's own files that end up in a bundle or decide what does."""
    for folder in (resources.BRIDGE, resources.RECIPES, resources.TEMPLATES, resources.DOCTOR, resources.PACKAGE):
        yield from resources.files_below(folder)
    yield resources.DOCTOR_PAGE
