"""Checks a bundle before it is trusted: statically against its own description, and by a real inference.

The static check never runs anything of the bundle. It finds, in one pass, all that is wrong.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.version import Version

from aotpack.backend import Backend
from aotpack.bundle import manifest
from aotpack.bundle.manifest import Bundle, FileRecord
from aotpack.bundle.plan import GCC, LIB, LIBC
from aotpack.elf import search_path
from aotpack.elf.facts import Elf, is_elf, read_elf
from aotpack.errors import DamagedError, MachineMismatchError, UsageError
from aotpack.libraries.closure import Origin, origin_of
from aotpack.libraries.recipe import load_recipe
from aotpack.native.launcher import fastest_sha256
from aotpack.tools import sandbox
from aotpack.verify.gpu_driver import find_driver
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


@dataclass(frozen=True)
class RunResult:
    """A real inference."""

    #: The tool that made the empty root; None when it ran outside of one.
    sandbox: str | None
    #: Why there was no empty root, for people.
    why_no_sandbox: str = ""
    #: Model name -> the runner's own report of `aotrun check --model NAME --json`.
    models: dict[str, dict[str, Any]] = field(default_factory=dict)


def load_bundle(folder: Path) -> Bundle:
    """The description of a bundle. Raises UsageError when the folder is none, DamagedError when it cannot be read."""
    path = folder / manifest.NAME
    if not path.is_file():
        raise UsageError(
            f"{folder}: has no {manifest.NAME}",
            meaning="this folder is not a bundle",
            fix="name the folder that aotpack build --output made",
        )
    return manifest.decode(path.read_bytes(), str(path))


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


def check_run(folder: Path, bundle: Bundle) -> RunResult:
    """Run every model on its recorded sample in a root that holds only the bundle, and the GPU's driver for GPU models.

    Without a sandbox on this machine it runs with an empty environment and says so in the result.
    Raises DamagedError with the bundle's own words when a run fails, MachineMismatchError when it cannot run here.
    """
    box = None
    if not (bundle.portable and bundle.libc == "bundled" and bundle.python == "bundled"):
        why = "this bundle uses libc, Python or libraries of the machine, so it cannot run in an empty root"
    elif (box := sandbox.find_sandbox()) is None:
        why = "no sandbox is available here: install bubblewrap, or allow user namespaces"
    else:
        why = ""
    results = {name: _run_model(folder, name, box, model.device) for name, model in bundle.models.items()}
    return RunResult(box.name if box else None, why, results)


def _run_model(folder: Path, name: str, box: sandbox.Sandbox | None, device: str) -> dict[str, Any]:
    arguments = ["bin/aotrun", "check", "--model", name, "--json"]
    if box:
        driver = find_driver(load_recipe(Backend(device)).driver)
        inside = [f"{sandbox.INSIDE}/{arguments[0]}", *arguments[1:]]
        command = box.command(folder, inside, driver.libraries, driver.devices)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    else:
        command = [str(folder.absolute() / arguments[0]), *arguments[1:]]  # the run starts in another folder
        environment = {"PATH": os.environ.get("PATH", "")}  # a development bundle may use the host's python3
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=environment)
    if done.returncode == MachineMismatchError.exit_code:
        raise MachineMismatchError(
            f"model {name}: this machine cannot run it",
            meaning="the bundle may be sound; what it asks for is not here",
            fix=f"run it where it is to be used: {folder}/bin/aotrun check --model {name}",
            detail=_words(done),
        )
    if done.returncode:
        raise DamagedError(
            f"model {name}: aotrun check ended with exit code {done.returncode}",
            meaning="the bundle does not run as it should" + (" in an empty root" if box else ""),
            fix=f"run it yourself and read its message: {folder}/bin/aotrun check --model {name}",
            detail=_words(done),
        )
    result = json.loads(done.stdout)
    assert isinstance(result, dict)  # noqa: S101  (the runner's own contract)
    return result


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed check says: the lines of the report that failed, and what stands on standard error."""
    try:
        checks = json.loads(done.stdout)["checks"]
        failed = [f"{check['name']}: {check['detail']}" for check in checks if not check["ok"]]
    except (ValueError, KeyError, TypeError):
        failed = [done.stdout.strip()]
    return "\n".join(filter(None, [*failed, done.stderr.strip()]))
