"""The folder that a bundle goes to: whose it is, who writes to it, and how a new bundle takes an older one's place.

Whatever happens during a build (a failure, a kill, a full disk), the folder that was asked for holds the older bundle
or nothing, never a half one; and no file is lost that aotpack did not make.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from aotpack.bundle import manifest, signatures
from aotpack.errors import UsageError
from aotpack.tools import steps
from aotpack.tools.in_place import put_in_place
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.base.regular import SpecialFileError, kind, read_regular, refuse_special

#: What `tempfile` puts behind a prefix, and the name under which an older bundle waits for the new one.
_SCRATCH = re.compile(r"[a-z0-9_]{8}(\.old)?")
#: Written by a Python that imports the runner out of a bundle; it can be made again.
_BYTECODE = re.compile(r"(runner|python)/(.*/)?__pycache__/[^/]+\.pyc")


def check(output: Path, *, force: bool) -> None:
    """Refuse to replace a folder that holds anything but what a bundle's own description lists: it is somebody's.
    `force` is that somebody's word.

    The folder that the user stands in is refused as well: a new bundle takes the old folder's place, and the user's
    shell would be left in one that is gone.
    """
    if Path.cwd().is_relative_to(output):
        raise UsageError(
            f"{output}: is the current folder, or holds it",
            meaning="a new bundle takes the place of its whole folder, the one you stand in included",
            fix="cd to another folder, or choose another --output",
        )
    if not os.path.lexists(output):
        return
    if not output.is_dir():
        raise UsageError(
            f"{output}: is {kind(output.lstat().st_mode)} and not a folder",
            meaning="a bundle is a folder, and aotpack does not replace other files",
            fix="choose another --output",
        )
    if not force:
        _refuse_foreign(output)


def _refuse_foreign(output: Path) -> None:
    listed, reason = _listed(output)
    foreign = sorted(path for path in _files_below(output) if path not in listed and not _BYTECODE.fullmatch(path))
    if not foreign:
        return
    raise UsageError(
        f"{output}: {reason} {', '.join(foreign[:3])}{f' and {len(foreign) - 3} more' if foreign[3:] else ''}",
        meaning="building there would delete files that aotpack did not make",
        fix="move them elsewhere, choose another --output, or pass --force to replace the folder with all it holds",
    )


def _listed(output: Path) -> tuple[frozenset[str], str]:
    """What may be deleted, and what is to be said of all else."""
    try:
        content = read_regular(str(output / DESCRIPTION), follow=False)
    except FileNotFoundError:
        return frozenset(), "exists, is not a bundle and holds"
    except OSError as error:
        return frozenset(), f"{DESCRIPTION} {error.strerror}; the folder holds"
    listed = manifest.listed(content)
    if listed is None:
        return frozenset(), f"its {DESCRIPTION} is not one that aotpack sealed, or was changed since; it holds"
    # What `aotpack sign` made is void with the bundle that it signs.
    return listed | {DESCRIPTION, signatures.NAME}, "holds beside its bundle"


def _files_below(folder: Path) -> Iterator[str]:
    """All but folders, with their relative names. Raises OSError where it may not look."""

    def refuse(error: OSError) -> None:
        raise error

    for parent, folders, files in os.walk(folder, onerror=refuse):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]  # noqa: PTH114, PTH118
        for name in (*files, *links):
            yield (Path(parent) / name).relative_to(folder).as_posix()


@contextlib.contextmanager
def exclusive(output: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the right to write `output`; `waiting` is called once when another build holds it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = output.parent / f".{output.name}.aotpack-lock"
    descriptor = _locked(lock, waiting)
    try:
        steps.reached("locked")
        _tidy(output)
        yield
    finally:
        # While it is held: whoever waits for it then sees that its name is gone or another's, and asks anew.
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(lock: Path, waiting: Callable[[], None]) -> int:
    """A descriptor of the file at `lock`, held until it is closed."""
    said = False
    while True:
        descriptor = _opened(lock)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not said:
                    waiting()
                    said = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, lock):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it


def _opened(lock: Path) -> int:
    """The lock file, made when it is not there; nothing that a link leads to, and nothing that makes one wait."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(lock, flags, 0o666)
        try:
            refuse_special(os.fstat(descriptor).st_mode, str(lock))
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        special = isinstance(error, SpecialFileError) or error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO)
        if not special:
            raise
        raise UsageError(
            f"{lock}: is {kind(lock.lstat().st_mode)}, where the lock of a build belongs",
            meaning="two builds of one folder wait for each other by a file of that name; this is not one of aotpack's",
            fix=f"remove it, or choose another --output than {lock.parent}/...",
        ) from None
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _tidy(output: Path) -> None:
    """Clear up after builds that were killed; nobody else writes here while we hold the lock."""
    prefix = f".{output.name}.aotpack-new-"
    found = [path for path in output.parent.iterdir() if path.name.startswith(prefix)]
    for leftover in found:
        if not _SCRATCH.fullmatch(leftover.name.removeprefix(prefix)) or leftover.is_symlink():
            continue
        if leftover.suffix == ".old" and not os.path.lexists(output):
            leftover.rename(output)  # killed between two renames
        else:
            shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def replacing(output: Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary sibling folder; moved to `output` when the block ends well, removed otherwise.

    What lies at `output` by then is looked at once more (see `check`): it took a while.
    """
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.aotpack-new-", dir=output.parent))
    umask = os.umask(0o022)  # a bundle is for every user of its target, whatever its builder's own files are
    try:
        folder.chmod(0o755)
        steps.reached("scratch")
        yield folder
        check(output, force=force)
        steps.reached("replacing")
        put_in_place(folder, output, lambda: check(output, force=force))
        steps.reached("replaced")
    finally:
        os.umask(umask)
        # After an exchange this is the older bundle, otherwise what a failure left.
        shutil.rmtree(folder, ignore_errors=True)
