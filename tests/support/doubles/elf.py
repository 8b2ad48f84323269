"""Compiles small shared libraries with the names, needs and search paths of a vendor's."""

from __future__ import annotations

import os
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
        source = scratch / f"{double.name}.c"
        source.write_text(double.source)
        flags = ["-fPIC", "-shared", "-O1", "-Wall", "-Werror", "-Wno-unused-function", "-Wl,--build-id=none"]
        if double.version:
            script = scratch / f"{double.name}.map"
            script.write_text(f"{double.version} {{ global: *; }};\n")
            flags.append(f"-Wl,--version-script={script}")
        needed = [str(scratch / "link" / name) for name in double.needed]
        search = []
        if double.rpath:
            search = ["-Wl,--disable-new-dtags", f"-Wl,-rpath,{double.rpath}"]
        elif double.runpath:
            search = ["-Wl,--enable-new-dtags", f"-Wl,-rpath,{double.runpath}"]
        # What users of this library link to: the same, under the name that they shall ask for.
        for_linking, final = scratch / "link" / double.name, root / double.path
        for target, soname in ((for_linking, double.name), (final, double.soname or double.name)):
            target.parent.mkdir(parents=True, exist_ok=True)
            command = [
                CC,
                *flags,
                str(source),
                f"-Wl,-soname,{soname}",
                "-Wl,--no-as-needed",
                *needed,
                "-Wl,--as-needed",
                f"-Wl,-rpath-link,{scratch / 'link'}",
                *search,
                *("-ldl", "-o", str(target)),
            ]
            subprocess.run(command, check=True)
