"""Checks a bundle before it is trusted: statically against its own description, and by a real inference.

The static check never runs anything of the bundle. It finds, in one pass, all that is wrong.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.version import Version

from aotpack.bundle import manifest
from aotpack.bundle.entries import GCC, LIB, LIBC
from aotpack.bundle.manifest import Bundle, FileRecord, load_bundle
from aotpack.elf import search_path
from aotpack.elf.facts import Elf, is_elf, read_elf
from aotpack.libraries.origins import Origin, origin_of
from aotpack.native.launcher import fastest_sha256
from aotpack.verify.run import RunResult
from aotpack_doctor.base import hashing


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file."""

    path: str
    what: str


@dataclass(frozen=True)
class Report:
    """What a check found."""

    bundle: Bundle
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    #: Result of the real inference; None when none was asked for.
    run: RunResult | None = None


def check_static(folder: Path, progress: Callable[[int], None] = lambda _done: None) -> Report:
    """Check every file, link and ELF header. Raises as `load_bundle` does."""
    bundle = load_bundle(folder)
    problems = [*_files(folder, bundle, progress), *_extra(folder, bundle)]
    problems += _elves(folder, bundle)
    problems += _models(folder, bundle)
    notes = () if bundle.portable else ("a development bundle: it links to this machine and does not travel",)
    return Report(bundle, tuple(problems), notes)


def _files(folder: Path, bundle: Bundle, progress: Callable[[int], None]) -> Iterator[Problem]:
    sealed = _sealed(folder, bundle)
    hashed = hashing.sha256_of_all([part for parts in sealed.values() for part in parts], progress, fastest_sha256())
    for record in bundle.files:
        if not _stays_inside(record.path):
            yield Problem(record.path, "names a place outside of the bundle")
            continue
        path = folder / record.path
        if record.link is not None:
            yield from _link(folder, path, record, portable=bundle.portable)
        elif path.is_symlink():
            yield Problem(record.path, f"is a link to {path.readlink()} in place of a file")
        elif not path.is_file():
            yield Problem(record.path, "is missing")
        else:
            status = path.stat()
            if record.path not in sealed:
                yield Problem(record.path, f"has {status.st_size} bytes instead of {record.size}")
            elif fault := hashing.first_difference(sealed[record.path], hashed):
                yield Problem(record.path, _difference(fault))
            elif record.wheel_sha256 not in (None, record.sha256):
                yield Problem(record.path, "is not the file that the vendor's wheel recorded; it must not be changed")
            if record.executable and not status.st_mode & stat.S_IXUSR:
                yield Problem(record.path, "is no longer executable (copied without its permissions?)")


def _sealed(folder: Path, bundle: Bundle) -> dict[str, dict[hashing.Range, str]]:
    """By path, what to hash of the files that have the size that was sealed: those whose content is worth a look."""
    found = {}
    for record in bundle.files:
        path = folder / record.path
        plain = record.link is None and _stays_inside(record.path) and not path.is_symlink() and path.is_file()
        if plain and path.stat().st_size == record.size:
            # What is a vendor's is held against the vendor's own hash, which is one of the whole file.
            pieces = () if record.wheel_sha256 else record.pieces
            found[record.path] = hashing.sealed(str(path), record.size, str(record.sha256), pieces)
    return found


def _difference(fault: OSError | tuple[str, str, str]) -> str:
    if isinstance(fault, OSError):
        return f"cannot be read: {fault.strerror}"
    where, actual, sealed = fault
    return f"has another content: SHA-256{where} {actual[:12]}..., sealed {sealed[:12]}..."


def _stays_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def _link(folder: Path, path: Path, record: FileRecord, *, portable: bool) -> Iterator[Problem]:
    if not path.is_symlink():
        yield Problem(record.path, "is no longer a link" if path.exists() else "is missing")
    elif (target := str(path.readlink())) != record.link:
        yield Problem(record.path, f"links to {target} instead of {record.link}")
    elif portable and not path.resolve().is_relative_to(folder.resolve()):
        yield Problem(record.path, f"links to {target}, outside of the bundle")
    elif not path.exists():
        yield Problem(record.path, f"links to {target}, which does not exist")


def _extra(folder: Path, bundle: Bundle) -> Iterator[Problem]:
    known = {record.path for record in bundle.files} | {manifest.NAME}
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in sorted([*files, *links]):
            relative = (Path(parent) / name).relative_to(folder).as_posix()
            if relative not in known:
                yield Problem(relative, "is not part of the bundle")


def _elves(folder: Path, bundle: Bundle) -> Iterator[Problem]:
    if not bundle.portable:
        return
    present = {record.path for record in bundle.files}
    elves: list[tuple[FileRecord, Elf]] = []
    for record in bundle.files:
        path = folder / record.path
        if record.link is not None or not path.is_file() or not is_elf(path):
            continue
        try:
            elves.append((record, read_elf(path)))
        except ValueError as error:
            yield Problem(record.path, str(error))
    libraries = [(record, elf) for record, elf in elves if not elf.is_gpu_code]
    for record, elf in libraries:
        name = PurePosixPath(record.path).name
        users = [other.needed for _, other in libraries if name in other.needed]
        # What each user loads itself, the loader has before this library asks for it.
        loaded = frozenset(users[0]).intersection(*users) if users else frozenset()
        for what in _elf_problems(record, elf, bundle, present, loaded):
            yield Problem(record.path, what)


def _elf_problems(
    record: FileRecord, elf: Elf, bundle: Bundle, present: set[str], loaded: frozenset[str]
) -> Iterator[str]:
    """What the loader would stumble over on a machine that has nothing but the bundle.

    `loaded` are the sonames that are loaded whenever this library is.
    """
    if elf.executable_stack:
        yield "asks for an executable stack, which hardened kernels refuse"
    if elf.machine != bundle.built_on.machine:
        yield f"is code for {elf.machine} in a bundle for {bundle.built_on.machine}"
    folders: list[str] = []
    for text in elf.runpath or elf.rpath:
        place = search_path.inside(text, PurePosixPath(record.path).parent)
        if place is not None:
            folders.append(place)
        elif not (record.pristine and search_path.is_relative(text)):
            yield f"searches {text}, outside of the bundle"
        elif folders:
            # A vendor's file that may not be patched names its siblings' folders of the wheel after its own: they are
            # never asked as long as its own has all it needs.
            break
        elif asked := [soname for soname in elf.needed if f"{LIB}/{soname}" in present and soname not in loaded]:
            yield f"searches {text}, outside of the bundle, for {', '.join(asked)}"
    # The launcher hands these two to the loader, and the bridge, which loads first, has lib/gcc on its own path.
    folders += [LIBC, GCC]
    for soname in elf.needed:
        if any(f"{place}/{soname}" in present for place in folders) or soname in bundle.host_libraries:
            continue
        if bundle.libc == "host" and origin_of(soname) is Origin.GLIBC:
            continue
        yield f"needs {soname}, which is neither in the bundle nor on the list of what the target provides"


def _models(folder: Path, bundle: Bundle) -> Iterator[Problem]:
    for name, model in bundle.models.items():
        path = f"models/{name}/model.so"
        if not (folder / path).is_file():
            yield Problem(path, "is missing")
        missing = sorted(set(model.cpu_features) - set(bundle.floors.cpu_features))
        if missing:
            yield Problem(path, f"needs the CPU features {', '.join(missing)} that the bundle does not declare")
        floor = bundle.floors.glibc
        if bundle.libc == "host" and model.floors.glibc and Version(model.floors.glibc) > Version(floor or "0"):
            yield Problem(path, f"needs glibc {model.floors.glibc}, the bundle declares {floor}")
