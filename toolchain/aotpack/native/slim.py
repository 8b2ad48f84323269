"""The slim runtime: what it serves, and compiling it.

bridge/slim/ops.toml lists every function of torch's C shim with the library and file that serve it, or the reason why
none does. `judge` holds a model's imports against that table; `build_slim` compiles the libraries a bundle then needs.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from aotpack import resources
from aotpack.environment.reading import TorchInfo
from aotpack.errors import BuildToolError, TorchMismatchError
from aotpack.tools.cache import cached_folder, content_key
from aotpack.tools.cmake import build_targets
from aotpack.tools.compilers import find_compiler

#: The folder of the sources and the table within it.
SOURCES = resources.BRIDGE / "slim"
TABLE = SOURCES / "ops.toml"

#: uname machines that the runtime is written for.
MACHINES = frozenset({"x86_64"})

#: The PyPI packages of the optional part.
_ONEDNN = "onednn-cpu-gomp"
_ONEDNN_DEVEL = "onednn-devel-cpu-gomp"

#: Lanes and type letter in SLEEF's names, by the table's key.
_VECTOR_WIDTHS = {"float32": ("f8", "f16"), "float64": ("d4", "d8")}

#: Where torch's headers declare the shim, and how they name its functions.
_SHIM_HEADERS = "torch/csrc/inductor/aoti_torch"
_SHIM_FUNCTION = re.compile(r"\baoti_\w+(?=\()")

#: Symbols that only libtorch defines: its shim, its vector functions, its C++.
_TORCH_SYMBOL = re.compile(r"aoti_|torch_|Sleef_|mkl_|cblas_|_ZNK?(?:2at|3c10|5torch)")


class Part(str, Enum):
    """A library of the slim runtime."""

    CORE = "core"
    DNNL = "dnnl"

    def __str__(self) -> str:
        return self.value

    @property
    def library(self) -> str:
        """File name and soname."""
        return "libaot_slim.so" if self is Part.CORE else f"libaot_slim_{self.value}.so"


@dataclass(frozen=True)
class Function:
    """One function of the shim.

    Attributes:
        name: the exported symbol.
        part: the library that serves it; None when none does.
        note: the source file below bridge/slim, or why it is not served.
    """

    name: str
    part: Part | None
    note: str


@dataclass(frozen=True)
class Verdict:
    """Whether the slim runtime serves a model.

    Attributes:
        parts: the libraries that the model needs.
        unserved: the imports that no library serves, with reasons; empty when the model can run.
    """

    parts: tuple[Part, ...]
    unserved: tuple[Function, ...]

    @property
    def served(self) -> bool:
        """Whether every import is there."""
        return not self.unserved

    @property
    def sonames(self) -> tuple[str, ...]:
        """What model.so must name to find its runtime, the core first."""
        return tuple(part.library for part in self.parts)


def parse_table(text: str) -> Mapping[str, Function]:
    """The table by symbol. Raises ValueError when a function is listed twice or a key is unknown."""
    document: dict[str, Any] = msgspec.toml.decode(text)
    functions: dict[str, Function] = {}
    for function in _listed(document):
        if function.name in functions:
            raise ValueError(f"{function.name} is listed under {functions[function.name].note} and {function.note}")
        functions[function.name] = function
    return functions


def _listed(document: dict[str, Any]) -> Iterator[Function]:
    for part, files in document["served"].items():
        for file, names in files.items():
            yield from (Function(name, Part(part), file) for name in names)
    vector = document["vector"]
    for key, widths in _VECTOR_WIDTHS.items():
        for name in vector[key]:
            base, _, accuracy = name.partition("_")
            suffix = f"_{accuracy}" if accuracy else ""
            yield from (Function(f"Sleef_{base}{width}{suffix}", Part.CORE, vector["file"]) for width in widths)
    for reason, names in document["unserved"].items():
        yield from (Function(name, None, reason) for name in names)


@lru_cache(maxsize=1)
def table() -> Mapping[str, Function]:
    """The table of this installation."""
    return parse_table(TABLE.read_text(encoding="utf-8"))


def table_for(torch: TorchInfo) -> Mapping[str, Function]:
    """The table for libraries compiled against one torch: functions that its headers do not declare are not served.

    Raises:
        TorchMismatchError: torch's headers are not installed.
    """
    headers = (_torch_include(torch) / _SHIM_HEADERS).rglob("*.h")
    declared = {name for header in headers for name in _SHIM_FUNCTION.findall(header.read_text(encoding="utf-8"))}
    reason = f"younger than torch {torch.base_version}, which the slim runtime is compiled against"
    return {
        name: replace(function, part=None, note=reason)
        if function.part is not None and name.startswith("aoti_") and name not in declared
        else function
        for name, function in table().items()
    }


def judge(imports: Iterable[str], functions: Mapping[str, Function] | None = None) -> Verdict:
    """Hold a model's imports (`ModelInfo.imports`) against the table. Symbols that are not torch's do not count.

    Args:
        imports: what the model asks its runtime for.
        functions: the table that counts, such as `table_for` one torch; by default that of this installation.
    """
    known = table() if functions is None else functions
    wanted = [
        known.get(symbol, Function(symbol, None, "not a function of the shim that this aotpack knows"))
        for symbol in sorted(set(imports))
        if _TORCH_SYMBOL.match(symbol)
    ]
    parts = {Part.CORE} | {function.part for function in wanted if function.part is not None}
    return Verdict(
        parts=tuple(part for part in Part if part in parts),
        unserved=tuple(function for function in wanted if function.part is None),
    )


@dataclass(frozen=True)
class SlimBuild:
    """Compiled libraries.

    Attributes:
        libraries: of the runtime itself, the core first: roots of the bundle's closure.
        folders: where libraries lie that these need beside the system's (oneDNN's).
    """

    libraries: tuple[Path, ...]
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Settings:
    """What a compilation of some parts follows from, beside sources and compiler."""

    parts: tuple[Part, ...]
    definitions: dict[str, str]
    versions: tuple[str, ...]
    folders: tuple[Path, ...]

    @property
    def targets(self) -> list[str]:
        """CMake's names of the libraries."""
        return [part.library.removeprefix("lib").removesuffix(".so") for part in self.parts]

    def built(self, folder: Path) -> SlimBuild:
        """The libraries once they lie in a folder."""
        return SlimBuild(tuple(folder / part.library for part in self.parts), self.folders)


def _settings(torch: TorchInfo, parts: Iterable[Part]) -> _Settings:
    asked = set(parts) | {Part.CORE}
    wanted = tuple(part for part in Part if part in asked)
    definitions = {"TORCH_INCLUDE": str(_torch_include(torch))}
    if Part.DNNL not in wanted:
        return _Settings(wanted, definitions, (torch.version,), ())
    onednn = find_onednn()
    definitions |= {"ONEDNN_INCLUDE": str(onednn.include), "ONEDNN_LIBRARY": str(onednn.library)}
    return _Settings(wanted, definitions, (torch.version, onednn.version), (onednn.library.parent,))


def build_slim(
    torch: TorchInfo, parts: Iterable[Part], *, sanitize: str = "", ops: Sequence[str] = ("*",)
) -> SlimBuild:
    """Compile the parts, or find them in the cache.

    Args:
        torch: the shim is compiled against its headers.
        parts: what `judge` asked for.
        sanitize: value of the compiler's `-fsanitize=`, for tests.
        ops: which files of bridge/slim/ops to build, without `.cpp`; tests of a few take only those.

    Raises:
        BuildToolError: compiler, CMake, Ninja or oneDNN is missing or fails.
        TorchMismatchError: torch's headers are not installed.
    """
    settings = _settings(torch, parts)
    options = {"AOT_SANITIZE": sanitize, "AOT_OPS": ";".join(ops)}
    compiler = find_compiler("c++")
    # The versions stand for the headers: where those lie is not in the result.
    facts = [compiler.identity, *compiler.command, *settings.versions, *settings.targets, *options.values()]
    key = content_key([*facts, *_source_contents()])

    def compile_them(folder: Path) -> None:
        build_targets(SOURCES, folder / "build", compiler, settings.definitions | options, settings.targets)
        for part in settings.parts:
            (folder / "build" / part.library).rename(folder / part.library)
        shutil.rmtree(folder / "build")

    return settings.built(cached_folder("slim", key, compile_them))


def build_slim_in(folder: Path, torch: TorchInfo) -> SlimBuild:
    """Compile all parts in a folder that stays, and only what changed since the last time: for work on them.

    Raises:
        BuildToolError: as `build_slim`.
        TorchMismatchError: as `build_slim`.
    """
    settings = _settings(torch, Part)
    build_targets(SOURCES, folder, find_compiler("c++"), settings.definitions, settings.targets)
    return settings.built(folder)


@dataclass(frozen=True)
class OneDnn:
    """oneDNN as PyPI ships it."""

    library: Path
    include: Path
    version: str


def find_onednn() -> OneDnn:
    """Library and headers from the packages that aotpack depends on.

    Raises:
        BuildToolError: they are not installed.
    """
    library, version = _package_file(_ONEDNN, "libdnnl.so.3")
    header, _ = _package_file(_ONEDNN_DEVEL, "dnnl.h")
    # Two files bear the name; the outer one forwards to oneapi/dnnl/dnnl.h.
    include = header.parent if header.parent.name == "include" else header.parents[2]
    return OneDnn(library, include, version)


def onednn_licenses() -> tuple[Path, ...]:
    """The texts that oneDNN is passed on with; none when its package is not installed."""
    try:
        distribution = importlib.metadata.distribution(_ONEDNN)
    except importlib.metadata.PackageNotFoundError:
        return ()
    texts = (file for file in distribution.files or () if "doc" in file.parts and file.name != "README")
    return tuple(sorted(Path(str(distribution.locate_file(file))).resolve() for file in texts))


def _package_file(package: str, name: str) -> tuple[Path, str]:
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        distribution = None
    for file in (distribution.files if distribution else None) or ():
        path = Path(str(distribution.locate_file(file))).resolve() if distribution else Path()
        if file.name == name and path.is_file():
            return path, distribution.version if distribution else ""
    raise BuildToolError(
        f"{name} is missing: the Python package {package} is not installed beside aotpack",
        meaning="this model's matrix products or convolutions run through oneDNN in the slim runtime",
        fix=f"pip install {_ONEDNN} {_ONEDNN_DEVEL} (or build with --runtime full)",
    )


def _torch_include(torch: TorchInfo) -> Path:
    for folder in torch.include_dirs:
        if (folder / _SHIM_HEADERS / "c/shim.h").is_file():
            return folder
    raise TorchMismatchError(
        f"{torch.root}: torch {torch.version} without its headers (include/ is missing)",
        meaning="the slim runtime is compiled against torch's C interface",
        fix="install torch again: aotpack init",
    )


def _source_contents() -> Iterator[bytes]:
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file():
            yield os.fsencode(path.relative_to(SOURCES))
            yield path.read_bytes()
