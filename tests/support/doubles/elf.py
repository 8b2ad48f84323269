"""Compiles small shared libraries with the names, needs and search paths of a vendor's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CC = os.environ.get("CC", "cc")


@dataclass(frozen=True)
class Double:
    """One library to be.

    Attributes:
        path: where it goes, relative to the folder that all doubles share.
        source: C source.
        soname: its SONAME; the file's name when None.
        needed: file names of other doubles that it links to, called by those names whatever their SONAMEs are.
        rpath, runpath: search path, as DT_RPATH or DT_RUNPATH.
        version: version of all its symbols, as some of NVIDIA's libraries have.
    """

    path: str
    source: str
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: str | None = None
    runpath: str | None = None
    version: str | None = None

    @property
    def name(self) -> str:
        """File name."""
        return Path(self.path).name


def compile_doubles(root: Path, doubles: Iterable[Double], scratch: Path) -> None:
    """Compile doubles below `root`, in an order in which needed ones come first. `scratch` holds what linking takes."""
    scratch.mkdir(parents=True, exist_ok=True)
    for double in doubles:
        source, compiled = scratch / f"{double.name}.c", scratch / f"{double.name}.o"
        source.write_text(double.source)
        flags = ["-c", "-fPIC", "-O1", "-Wall", "-Werror", "-Wno-unused-function"]
        subprocess.run([CC, *flags, str(source), "-o", str(compiled)], check=True)
        # What users of this library link to: the same, under the name that they shall ask for.
        for_linking, final = scratch / "link" / double.name, root / double.path
        _link(double, compiled, double.name, for_linking)
        soname = double.soname or double.name
        if soname == double.name:
            final.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(for_linking, final)
        else:
            _link(double, compiled, soname, final)


def _link(double: Double, compiled: Path, soname: str, target: Path) -> None:
    folder = compiled.parent
    flags = ["-shared", "-Wl,--build-id=none", f"-Wl,-soname,{soname}"]
    if double.version:
        script = folder / f"{double.name}.map"
        script.write_text(f"{double.version} {{ global: *; }};\n")
        flags.append(f"-Wl,--version-script={script}")
    needed = [str(folder / "link" / name) for name in double.needed]
    search = []
    if double.rpath:
        search = ["-Wl,--disable-new-dtags", f"-Wl,-rpath,{double.rpath}"]
    elif double.runpath:
        search = ["-Wl,--enable-new-dtags", f"-Wl,-rpath,{double.runpath}"]
    target.parent.mkdir(parents=True, exist_ok=True)
    needs = ["-Wl,--no-as-needed", *needed, "-Wl,--as-needed", f"-Wl,-rpath-link,{folder / 'link'}", "-ldl"]
    subprocess.run([CC, *flags, str(compiled), *needs, *search, "-o", str(target)], check=True)
