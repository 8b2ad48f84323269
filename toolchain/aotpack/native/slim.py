"""Compiling the slim runtime: the libraries that a bundle needs of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aotpack import resources
from aotpack.elf.edits import ElfEdit, apply_edit, strip_copy
from aotpack.environment.torch import TorchInfo
from aotpack.native.carried import carried_key, find_carried
from aotpack.native.onednn import OneDnn, find_onednn
from aotpack.runtime.slim_table import OWN_NAMES, SOURCES, Part
from aotpack.tools.cache import cached_folder, content_key
from aotpack.tools.cmake import Progress, build_targets
from aotpack.tools.compilers import find_compiler


@dataclass(frozen=True)
class SlimBuild:
    """Compiled libraries.

    Attributes:
        libraries: of the runtime itself, the core first: roots of the bundle's closure.
        others: what these need beside the system's libraries (oneDNN, as `_own_onednn` makes it).
    """

    libraries: tuple[Path, ...]
    others: tuple[Path, ...] = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where all of them lie."""
        return tuple(dict.fromkeys(path.parent for path in (*self.libraries, *self.others)))


@dataclass(frozen=True)
class _Settings:
    """What a compilation of some parts follows from, beside sources and compiler."""

    parts: tuple[Part, ...]
    definitions: dict[str, str]
    versions: tuple[str, ...]
    onednn: OneDnn | None = None

    @property
    def targets(self) -> list[str]:
        """CMake's names of the libraries."""
        return [part.library.removeprefix("lib").partition(".")[0] for part in self.parts]

    def built(self, folder: Path) -> SlimBuild:
        """The libraries once they lie in a folder."""
        others = () if self.onednn is None else (_own_onednn(self.onednn),)
        return SlimBuild(tuple(folder / part.library for part in self.parts), others)


def _settings(torch: TorchInfo, parts: Iterable[Part]) -> _Settings:
    asked = set(parts) | {Part.CORE, Part.THREADS}
    wanted = tuple(part for part in Part if part in asked)
    definitions = {"TORCH_INCLUDE": str(torch.shim_include("the slim runtime"))}
    if Part.DNNL not in wanted:
        return _Settings(wanted, definitions, (torch.version,))
    onednn = find_onednn()
    definitions |= {"ONEDNN_INCLUDE": str(onednn.include), "ONEDNN_LIBRARY": str(onednn.library)}
    return _Settings(wanted, definitions, (torch.version, onednn.version), onednn)


def build_slim(
    torch: TorchInfo,
    parts: Iterable[Part],
    *,
    sanitize: str = "",
    ops: Sequence[str] = ("*",),
    progress: Progress = lambda _done, _total: None,
) -> SlimBuild:
    """Compile the parts, or find them in the cache.

    Args:
        torch: the shim is compiled against its headers.
        parts: what `judge` asked for.
        sanitize: value of the compiler's `-fsanitize=`, for tests.
        ops: which files of bridge/slim/ops to build, without `.cpp`; tests of a few take only those.
        progress: is told of each file that is compiled; never when the cache has them all.

    Raises:
        BuildToolError: compiler, CMake, Ninja or oneDNN is missing or fails.
        TorchMismatchError: torch's headers are not installed.
    """
    settings = _settings(torch, parts)
    options = {"AOT_SANITIZE": sanitize, "AOT_OPS": ";".join(ops)}
    carried = find_carried("slim", slim_key(torch)) if not sanitize and tuple(ops) == ("*",) else None
    if carried is not None:
        return settings.built(carried)
    compiler = find_compiler("c++")
    # The versions stand for the headers: where those lie is not in the result.
    facts = [compiler.identity, *compiler.command, *settings.versions, *settings.targets, *options.values()]
    key = content_key([*facts, *_source_contents()])

    def compile_them(folder: Path) -> None:
        build_targets(SOURCES, folder / "build", compiler, settings.definitions | options, settings.targets, progress)
        for part in settings.parts:
            (folder / "build" / part.library).rename(folder / part.library)
        shutil.rmtree(folder / "build")

    return settings.built(cached_folder("slim", key, compile_them))


def slim_key(torch: TorchInfo) -> str:
    """The name of all parts in a wheel that carries them: a version of torch has the same headers in all variants."""
    return carried_key([torch.base_version, *_source_contents()])


def build_slim_in(folder: Path, torch: TorchInfo) -> SlimBuild:
    """Compile all parts in a folder that stays, and only what changed since the last time: for work on them.

    Raises:
        BuildToolError: as `build_slim`.
        TorchMismatchError: as `build_slim`.
    """
    settings = _settings(torch, Part)
    build_targets(SOURCES, folder, find_compiler("c++"), settings.definitions, settings.targets)
    return settings.built(folder)


def _own_onednn(onednn: OneDnn) -> Path:
    """A copy of oneDNN that takes its threads from the slim runtime, not from libgomp."""

    def make(folder: Path) -> None:
        copy = folder / onednn.library.name
        strip_copy(onednn.library, copy)
        copy.chmod(0o755)
        apply_edit(copy, edit, onednn.library)

    edit = ElfEdit(search_path="$ORIGIN:$ORIGIN/gcc", renaming=OWN_NAMES)
    size = str(onednn.library.stat().st_size)
    editors = (path.read_bytes() for path in sorted((resources.PACKAGE / "elf").glob("*.py")))
    key = content_key([onednn.version, size, repr(edit), *editors])
    return cached_folder("onednn", key, make) / onednn.library.name


def _source_contents() -> Iterator[bytes]:
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file():
            yield os.fsencode(path.relative_to(SOURCES))
            yield path.read_bytes()
