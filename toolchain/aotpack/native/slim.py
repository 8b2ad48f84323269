"""Compiling the slim runtime: the libraries that a bundle needs of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aotpack.environment.torch import TorchInfo
from aotpack.native.carried import carried_key, find_carried
from aotpack.runtime.slim_table import SOURCES, Part
from aotpack.tools.cache import cached_folder, content_key
from aotpack.tools.cmake import Progress, build_targets
from aotpack.tools.compilers import find_compiler

#: Each file of each folder of bridge/slim/ops.
ALL_OPS = ("*/*",)


@dataclass(frozen=True)
class SlimBuild:
    """Compiled libraries.

    Attributes:
        libraries: of the runtime itself, the core first: roots of the bundle's closure.
    """

    libraries: tuple[Path, ...]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where all of them lie."""
        return tuple(dict.fromkeys(path.parent for path in self.libraries))


@dataclass(frozen=True)
class _Settings:
    """What a compilation of some parts follows from, beside sources and compiler."""

    parts: tuple[Part, ...]
    definitions: dict[str, str]
    versions: tuple[str, ...]

    @property
    def targets(self) -> list[str]:
        """CMake's names of the libraries."""
        return [part.library.removeprefix("lib").partition(".")[0] for part in self.parts]

    def built(self, folder: Path) -> SlimBuild:
        """The libraries once they lie in a folder."""
        return SlimBuild(tuple(folder / part.library for part in self.parts))


def _settings(torch: TorchInfo, parts: Iterable[Part]) -> _Settings:
    asked = set(parts) | {Part.CORE, Part.THREADS}
    wanted = tuple(part for part in Part if part in asked)
    definitions = {"TORCH_INCLUDE": str(torch.shim_include("the slim runtime"))}
    return _Settings(wanted, definitions, (torch.version,))


def build_slim(
    torch: TorchInfo,
    parts: Iterable[Part],
    *,
    sanitize: str = "",
    ops: Sequence[str] = ALL_OPS,
    progress: Progress = lambda _done, _total: None,
) -> SlimBuild:
    """Compile the parts, or find them in the cache.

    Args:
        torch: the shim is compiled against its headers.
        parts: what `judge` asked for.
        sanitize: value of the compiler's `-fsanitize=`, for tests.
        ops: which files of bridge/slim/ops to build, such as `layers/linear`; tests of a few take only those.
        progress: is told of each file that is compiled; never when the cache has them all.

    Raises:
        BuildToolError: compiler, CMake or Ninja is missing or fails.
        TorchMismatchError: torch's headers are not installed.
    """
    settings = _settings(torch, parts)
    options = {"AOT_SANITIZE": sanitize, "AOT_OPS": ";".join(ops)}
    carried = find_carried("slim", slim_key(torch)) if not sanitize and tuple(ops) == ALL_OPS else None
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
    definitions = settings.definitions | {"AOT_UNITY": "OFF"}
    build_targets(SOURCES, folder, find_compiler("c++"), definitions, settings.targets)
    return settings.built(folder)


def _source_contents() -> Iterator[bytes]:
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file():
            yield os.fsencode(path.relative_to(SOURCES))
            yield path.read_bytes()
