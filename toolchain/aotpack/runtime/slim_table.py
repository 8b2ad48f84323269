"""What the slim runtime serves.

bridge/slim/ops.toml lists every function of torch's C shim with the library and file that serve it, or the reason why
none does. `judge` holds a model's imports against that table. In a bundle all of them go by names of the slim runtime's
own (`OWN_NAMES`): a process may hold torch and its OpenMP too, and the loader takes whose it finds first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

from aotpack import resources
from aotpack.elf.renaming import Renaming
from aotpack.environment.torch import TorchInfo
from aotpack_doctor.facts import SHIM_HEADERS

#: The folder of the sources and the table within it.
SOURCES = resources.BRIDGE / "slim"
TABLE = SOURCES / "ops.toml"

#: uname machines that the runtime is written for.
MACHINES = frozenset({"x86_64"})

#: Lanes and type letter in SLEEF's names, by the table's key.
_VECTOR_WIDTHS = {"float32": ("f8", "f16"), "float64": ("d4", "d8")}

#: How torch's headers name the shim's functions.
_SHIM_FUNCTION = re.compile(r"\baoti_\w+(?=\()")

#: Symbols that only libtorch defines: its shim, its vector functions, its C++. And libgomp's, of which there are many.
_TORCH_SYMBOL = re.compile(r"aoti_|torch_|Sleef_|mkl_|cblas_|GOMP_|omp_|_ZNK?(?:2at|3c10|5torch)")

#: What GCC's code calls for OpenMP, and its likeness in the slim runtime.
OPENMP = ("libgomp.so.1", "libaomp.so.1")

#: What models in a bundle call in place of torch's functions and libgomp's. bridge/slim/CMakeLists.txt and
#: bridge/src/base/own_names.cpp know the same names.
OWN_NAMES = Renaming(
    prefixes=(("aoti_", "slim_"), ("torch_", "slimt_"), ("Sleef_", "Slimf_"), ("GOMP_", "AOMP_"), ("omp_", "aop_")),
    libraries=(OPENMP,),
)


class Part(str, Enum):
    """A library of the slim runtime."""

    CORE = "core"
    THREADS = "threads"

    def __str__(self) -> str:
        return self.value

    @property
    def library(self) -> str:
        """File name and soname."""
        return {Part.CORE: "libaot_slim.so", Part.THREADS: OPENMP[1]}[self]


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
    headers = (torch.shim_include("the slim runtime") / SHIM_HEADERS).rglob("*.h")
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
