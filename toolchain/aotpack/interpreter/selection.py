"""The interpreter that travels in a bundle: a base Python of any build, with the modules that the runner uses.

A worker runs inside that Python (`worker.py`), follows imports and compiles bytecode into a cache folder that is
laid out like a bundle. From there on an interpreter is files to copy and libraries to look up.

How it finds itself on the target: started as ROOT/python/bin/python3, every CPython from 3.8 on looks for
`lib/python3.X/os.pyc` and `lib/python3.X/lib-dynload` above its executable, so it needs no setting and works from any
path. Modules are loose files: they start 1 ms faster than from a zip.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from aotpack import resources
from aotpack.bundle.entries import Copy, Entry, Part
from aotpack.elf import relocations
from aotpack.elf.edits import ElfEdit
from aotpack.errors import BuildToolError
from aotpack.libraries.closure import Closure, Root
from aotpack.tools import running
from aotpack.tools.cache import cached_folder, content_key
from aotpack_doctor.base.places import LICENSES, PYTHON

_WORKER = Path(__file__).with_name("worker.py")
_FACTS = "facts.json"
#: Prefixes that say nothing about the build machine.
_ORDINARY = ("/usr", "/usr/local")
#: Above this interpreter's bin/, lib/ and lib/python3.X/lib-dynload/: where libraries lie that it needs.
_TO_LIBRARIES = {"bin": "$ORIGIN/../lib", "lib": "$ORIGIN", "lib-dynload": "$ORIGIN/../.."}


class _Facts(msgspec.Struct, frozen=True):
    """What the worker says."""

    #: `3.11`.
    version: str
    #: Folders compiled into the interpreter.
    prefixes: tuple[str, ...]
    #: Place in the bundle -> file of this machine, for executables and shared objects.
    natives: dict[str, str]
    license: str | None


@dataclass(frozen=True)
class InterpreterPlan:
    """An interpreter as a part of a bundle.

    Attributes:
        version: `3.11`.
        entries: its files, below `python/`, and the runner's bytecode below `runner/`.
        roots: its ELF files at their original places; what they need beyond each other goes to `python/lib`.
    """

    version: str
    entries: tuple[Entry, ...]
    roots: tuple[Root, ...]

    def packed_for(self, closure: Closure) -> InterpreterPlan:
        """The same in fewer bytes, where the libc that travels along in `closure` can read them."""
        libc = next((library.path for library in closure.libraries if library.name == "libc.so.6"), None)
        program = next(root.path for root in self.roots if root.name == "python3")
        # A program with copies of a library's variables counts on the library's own pointers to follow.
        if libc is None or not relocations.is_read_by(libc) or relocations.copies_data(program):
            return self
        return replace(self, entries=tuple(map(_packed, self.entries)))


def runner_packages() -> tuple[Path, ...]:
    """The packages that travel in `runner/`: the runner, and the doctor that its `doctor` command calls."""
    return (resources.TEMPLATES / "runner" / "aotrun", resources.DOCTOR)


def plan_interpreter(
    python: Path, packages: Sequence[Path] | None = None, *, with_crypto: bool = False
) -> InterpreterPlan:
    """Choose what of an interpreter travels.

    Args:
        python: an interpreter, or a venv's link to one; any CPython from 3.8 on.
        packages: folders of the packages that must run; the runner's by default.
        with_crypto: whether its module `_hashlib` travels, which needs libcrypto.

    Raises:
        BuildToolError: the interpreter cannot be run, or lacks what the packages import.
    """
    chosen = tuple(path.resolve() for path in (runner_packages() if packages is None else packages))
    more = ("_hashlib",) if with_crypto else ()
    folder = cached_folder("python", _key(python, chosen, more), lambda target: _fill(python, chosen, more, target))
    facts = msgspec.json.decode((folder / _FACTS).read_bytes(), type=_Facts)
    return InterpreterPlan(facts.version, tuple(_entries(folder, facts)), tuple(_roots(facts)))


def _key(python: Path, packages: Sequence[Path], more: Sequence[str]) -> str:
    stat = python.stat()
    parts: list[str | bytes] = [*more, str(python), str(python.resolve()), str(stat.st_size), str(stat.st_mtime_ns)]
    parts += [_WORKER.read_bytes(), Path(__file__).read_bytes()]
    for package in packages:
        for path in sorted(package.rglob("*.py")):
            parts += [str(path.relative_to(package.parent)), path.read_bytes()]
    return content_key(parts)


def _fill(python: Path, packages: Sequence[Path], more: Sequence[str], folder: Path) -> None:
    """Make the cache folder: bytecode from the worker, native files with the build's prefix blanked out."""
    wanted = {"packages": [str(path) for path in packages], "more": list(more), "output": str(folder)}
    request = msgspec.json.encode(wanted).decode()
    command = [str(python), "-I", "-S", "-B", str(_WORKER), request]
    try:
        done = running.run(command)
    except OSError as error:
        raise _unusable(python, str(error.strerror)) from None
    if done.status:
        raise _unusable(python, f"exit status {done.status}", done.errors)
    try:
        facts = msgspec.json.decode(done.output, type=_Facts)
    except msgspec.DecodeError:
        raise _unusable(python, "printed what is no answer", done.output) from None
    for place, source in facts.natives.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(without_prefixes(Path(source).read_bytes(), facts.prefixes))
        target.chmod(0o755)
    (folder / _FACTS).write_text(done.output, encoding="utf-8")


def without_prefixes(content: bytes, prefixes: Sequence[str]) -> bytes:
    """An ELF file without the folders that it was configured for, every byte else in its place. Pure.

    An interpreter falls back to them when it does not find its library beside itself. On a target that would be
    somebody else's, so the replacement is a path of the same length that exists nowhere.
    """
    for prefix in sorted(prefixes, key=len, reverse=True):
        name = b"/nowhere"
        text = os.fsencode(prefix)
        if prefix not in _ORDINARY and len(text) >= len(name):
            content = content.replace(text, name + b"/" * (len(text) - len(name)))
    return content


def _unusable(python: Path, reason: str, detail: str = "") -> BuildToolError:
    return BuildToolError(
        f"{python}: {reason}",
        meaning="this interpreter cannot tell which part of its standard library the runner needs",
        fix="repair the venv (aotpack init), or build with --python host",
        detail=detail,
    )


def _entries(folder: Path, facts: _Facts) -> Iterator[Entry]:
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        if not path.is_file() or place == _FACTS:
            continue
        part = Part.PYTHON if place.startswith(f"{PYTHON}/") else Part.RUNNER
        if place in facts.natives:
            edit = ElfEdit(strip=True, search_path=_TO_LIBRARIES[path.parent.name])
            yield Entry(place, part, "runs the runner", Copy(path, edit))
        else:
            yield Entry(place, part, "imported by the runner", Copy(path))
    if facts.license:
        yield Entry(f"{LICENSES}/python/LICENSE.txt", Part.LICENSES, "licence of Python", Copy(Path(facts.license)))


def _packed(entry: Entry) -> Entry:
    content = entry.content
    if not isinstance(content, Copy) or not content.edit:
        return entry
    return replace(entry, content=replace(content, edit=replace(content.edit, pack=True)))


def _roots(facts: _Facts) -> Iterator[Root]:
    for place, source in facts.natives.items():
        yield Root(Path(place).name, Path(source), "runs the runner")
