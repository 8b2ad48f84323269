"""Folders of things that can be made again, named by the hash of all that went into them.

Nothing in them is believed: each lies beside a hash of what it holds, which is compared before every use.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from aotpack.errors import BuildToolError
from aotpack.tools import steps
from aotpack.tools.scratch import scratch_folder
from aotpack_doctor.base.regular import open_regular, read_regular

#: In a key's folder: what was made, and the hash of it.
_CONTENTS, _HASH = "contents", "sha256"
_CHUNK = 1 << 20


def cache_home() -> Path:
    """The folder for everything that can be made again: `$XDG_CACHE_HOME/aotpack`.

    Raises:
        BuildToolError: the variable is not set, and there is no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "aotpack"
    try:
        return Path.home() / ".cache" / "aotpack"
    except RuntimeError:
        raise BuildToolError(
            f"HOME is not set, and user {os.getuid()} has no entry in /etc/passwd",
            meaning="compiled parts are kept in a cache below the home folder between builds",
            fix="set XDG_CACHE_HOME to a folder that you can write",
        ) from None


def content_key(parts: Iterable[str | bytes]) -> str:
    """A name for whatever follows from `parts`."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def cached_folder(kind: str, key: str, fill: Callable[[Path], None]) -> Path:
    """The folder of `key`, made by `fill` (which gets an empty folder) when it is not there as it was made.

    It appears whole or not at all, also when several processes make it at once.

    Args:
        kind: of the thing, for people who look into the cache.
        key: from `content_key`.
        fill: makes the thing, of folders and regular files.

    Raises:
        BuildToolError: the cache cannot be written, or what `fill` raises.
    """
    place = cache_home() / "parts" / kind / key
    if _is_whole(place):
        return place / _CONTENTS
    with ExitStack() as stack:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            scratch = stack.enter_context(scratch_folder(place.parent, ".making-"))
        except OSError as error:
            raise BuildToolError(
                f"{place.parent} cannot be written: {error.strerror}",
                meaning="compiled parts are kept there between builds",
                fix="set XDG_CACHE_HOME to a folder that you can write",
            ) from None
        made = scratch / "made"
        (made / _CONTENTS).mkdir(parents=True)
        fill(made / _CONTENTS)
        (made / _HASH).write_text(_hash_of(made / _CONTENTS), encoding="ascii")
        steps.reached("cached")
        _install(made, place, aside=scratch / "wrong")
    return place / _CONTENTS


def found_folder(kind: str, key: str) -> Path | None:
    """The folder of `key` when it is there as it was made; see `cached_folder`."""
    place = cache_home() / "parts" / kind / key
    return place / _CONTENTS if _is_whole(place) else None


@dataclass(frozen=True)
class Kept:
    """A folder of the cache.

    Attributes:
        kind: as in `cached_folder`; `builds` and `exports` for the records of what was made of what.
        path: the folder of a key, or the folder of all records.
        size: bytes of all files in it.
        made: seconds since the epoch.
    """

    kind: str
    path: Path
    size: int
    made: float


def kept() -> tuple[Kept, ...]:
    """What the cache holds, by kind, the oldest first; empty where there is none."""
    home = cache_home()
    found = [_kept(path.parent.name, path) for path in home.glob("parts/*/*") if path.name[0] != "."]
    found += [_kept(name, home / name) for name in ("builds", "exports") if (home / name).is_dir()]
    return tuple(sorted(found, key=lambda each: (each.kind, each.made, each.path)))


def _kept(kind: str, path: Path) -> Kept:
    files = [file.lstat() for file in path.rglob("*") if not file.is_dir() or file.is_symlink()]
    return Kept(kind, path, sum(status.st_size for status in files), path.lstat().st_mtime)


def remove(entries: Iterable[Kept]) -> None:
    """Delete from the cache; each is out of reach at once, so that no build takes it for whole."""
    for entry in entries:
        with scratch_folder(entry.path.parent, ".removing-") as scratch:
            entry.path.rename(scratch / "entry")


def _install(made: Path, place: Path, *, aside: Path) -> None:
    """Rename `made` to `place`; what is there and is not whole moves to `aside`."""
    while True:
        try:
            made.rename(place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # not that something is there
                raise
            if _is_whole(place):  # somebody else was faster, with the same result
                return
            with contextlib.suppress(FileNotFoundError):  # or somebody else was, in moving it away
                place.rename(aside)
        else:
            return


def _is_whole(place: Path) -> bool:
    """Whether the folder of a key holds what was put there, and nothing else."""
    try:
        return read_regular(str(place / _HASH), follow=False).decode("ascii", "replace") == _hash_of(place / _CONTENTS)
    except OSError:
        return False


def _hash_of(folder: Path) -> str:
    """Of all names, permissions to execute and contents below a folder. Raises OSError for anything but folders and
    regular files."""
    digest = hashlib.sha256()
    for name in _files_below(folder):
        content = hashlib.sha256()
        with open_regular(str(folder / name), follow=False) as stream:
            executable = os.fstat(stream.fileno()).st_mode & stat.S_IXUSR
            while chunk := stream.read(_CHUNK):
                content.update(chunk)
        digest.update(os.fsencode(name) + b"\0" + (b"x" if executable else b"-") + content.digest())
    return digest.hexdigest()


def _files_below(folder: Path) -> Iterator[str]:
    """All that is no folder, links to folders included, by relative names in order."""

    def refuse(error: OSError) -> None:
        raise error

    names = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        names += [(Path(parent) / name).relative_to(folder).as_posix() for name in (*files, *links)]
    yield from sorted(names)
