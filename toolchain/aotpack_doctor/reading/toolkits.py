"""How CUDA's and ROCm's toolkits are found: in the order in which torch looks for them (its cpp_extension), and before
that the compiler that CUDACXX names, which Inductor asks first."""

from __future__ import annotations

import os
from typing import Iterator, Mapping, NamedTuple


class Toolkit(NamedTuple):
    """The places of one."""

    #: Variables that name its compiler.
    compiler_variables: tuple[str, ...]
    #: Variables that name its folder.
    folder_variables: tuple[str, ...]
    #: Its compiler, in the folder's `bin` and maybe on PATH.
    compiler: str
    #: Its folder where nothing names one.
    usual: str

    @property
    def variables(self) -> tuple[str, ...]:
        """All variables that say which one is taken."""
        return (*self.compiler_variables, *self.folder_variables)


CUDA = Toolkit(("CUDACXX",), ("CUDA_HOME", "CUDA_PATH"), "nvcc", "/usr/local/cuda")
ROCM = Toolkit((), ("ROCM_HOME", "ROCM_PATH"), "hipcc", "/opt/rocm")
#: By backend.
TOOLKITS = {"cuda": CUDA, "rocm": ROCM}


def folders(toolkit: Toolkit, environment: Mapping[str, str], root: str = "/") -> Iterator[str]:
    """Those that are there, the one that is taken first."""
    compilers = [_program(environment.get(name, ""), environment) for name in toolkit.compiler_variables]
    on_path = _program(toolkit.compiler, environment)
    named = [environment.get(name) for name in toolkit.folder_variables]
    usual = os.path.join(root, toolkit.usual.lstrip("/"))
    for place in (*map(_home, compilers), *named, _home(on_path), usual):
        if place and os.path.isdir(place):
            yield place


def _home(compiler: str | None) -> str | None:
    """The toolkit's folder; distributions put links to its compiler elsewhere."""
    return os.path.dirname(os.path.dirname(os.path.realpath(compiler))) if compiler else None


def _program(name: str, environment: Mapping[str, str]) -> str | None:
    """A program by path or by name. (shutil does not travel in bundles.)"""
    search = [""] if "/" in name else environment.get("PATH", "").split(":") if name else []
    candidates = (os.path.join(folder, name) for folder in search)
    return next((path for path in candidates if os.path.isfile(path) and os.access(path, os.X_OK)), None)
