"""Folders of things that can be made again, named by the hash of all that went into them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from aotpack.build.uptodate import cache_home
from aotpack.errors import BuildToolError


def content_key(parts: Iterable[str | bytes]) -> str:
    """A name for whatever follows from `parts`."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def cached_folder(kind: str, key: str, fill: Callable[[Path], None], *, holds: Collection[str] = ()) -> Path:
    """The folder of `key`, made by `fill` (which gets an empty folder) when it is not there yet.

    It appears whole or not at all, also when several processes make it at once.

    Args:
        kind: of the thing, for people who look into the cache.
        key: from `content_key`.
        fill: makes the thing.
        holds: files in the folder; one that lost any (to something that tidies caches) is made again.

    Raises:
        BuildToolError: the cache cannot be written, or what `fill` raises.
    """
    folder = cache_home() / kind / key

    def is_whole() -> bool:
        return folder.is_dir() and all((folder / name).is_file() for name in holds)

    if is_whole():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    except OSError as error:
        raise BuildToolError(
            f"{folder.parent} cannot be written: {error.strerror}",
            meaning="compiled parts are kept there between builds",
            fix="set XDG_CACHE_HOME to a folder that you can write",
        ) from None
    try:
        made = scratch / "made"
        made.mkdir()
        fill(made)
        try:
            made.rename(folder)
        except OSError:
            if not is_whole():  # else somebody else was faster, with the same result
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder
