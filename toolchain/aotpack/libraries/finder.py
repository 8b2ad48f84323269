"""Finding libraries on this machine's disk, as the loader would."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from aotpack.elf.facts import Elf, read_elf


@dataclass
class DiskFinder:
    """Looks where the loader of this machine looks: the requester's search path, given folders, the system's."""

    #: Folders to search before the system's, such as torch/lib.
    folders: tuple[Path, ...] = ()
    machine: str = "x86_64"
    _facts: dict[Path, Elf] = field(default_factory=dict)
    _aliases: dict[Path, dict[str, Path]] = field(default_factory=dict)

    @cached_property
    def system(self) -> tuple[Path, ...]:
        """The system's library folders, from ld.so.conf and the loader's defaults."""
        from auditwheel.lddtree import load_ld_paths
        from auditwheel.libc import Libc

        paths = load_ld_paths(Libc.GLIBC)
        return tuple(dict.fromkeys(Path(path) for kind in ("conf", "interp") for path in paths[kind]))

    def read(self, path: Path) -> Elf:
        """Facts of a file, read once."""
        if path not in self._facts:
            self._facts[path] = read_elf(path)
        return self._facts[path]

    def find(self, soname: str, requester: Path | None) -> Path | None:
        """The file for `soname`: the requester's RPATH or RUNPATH, our folders, then the system's."""
        if "/" in soname:
            return None  # a path in NEEDED never survives a move
        for folder in (*self._own(requester), *self.folders):
            if self._fits(folder / soname):
                return folder / soname
        # Wheels of ROCm rename files and leave their SONAMEs: whoever asks by SONAME means the file there, not another.
        for folder in self.folders:
            if found := self._by_soname(folder).get(soname):
                return found
        return next((folder / soname for folder in self.system if self._fits(folder / soname)), None)

    def match(self, pattern: str, requester: Path | None) -> Sequence[tuple[str, Path]]:
        """Libraries whose names fit a pattern: beside the requester, on its search path and in our folders."""
        beside = (requester.parent,) if requester else ()
        found: dict[str, Path] = {}
        for folder in (*beside, *self._own(requester), *self.folders):
            for path in sorted(folder.glob(pattern)):
                if path.name not in found and self._fits(path):
                    found[path.name] = path
        return tuple(found.items())

    def _own(self, requester: Path | None) -> list[Path]:
        """The search path of a library."""
        if requester is None:
            return []
        facts = self.read(requester)
        return [_tidy(expand_origin(text, requester)) for text in facts.runpath or facts.rpath]

    def _by_soname(self, folder: Path) -> dict[str, Path]:
        """SONAME -> file of the libraries in a folder that are named otherwise."""
        if folder not in self._aliases:
            libraries = [path for path in sorted(folder.glob("*.so*")) if self._fits(path)]
            named = {self.read(path).soname: path for path in libraries if self.read(path).soname != path.name}
            self._aliases[folder] = {soname: path for soname, path in named.items() if soname}
        return self._aliases[folder]

    def _fits(self, path: Path) -> bool:
        if not path.is_file():
            return False
        try:
            return self.read(path).machine == self.machine
        except (OSError, ValueError):
            return False  # a linker script or another machine's library: the loader passes over it as well


def _tidy(folder: Path) -> Path:
    """The same folder without `..`, so that one file has one path."""
    plain = Path(os.path.normpath(folder))
    return plain if plain.is_dir() and plain.samefile(folder) else folder


def expand_origin(text: str, requester: Path) -> Path:
    """A search path entry with `$ORIGIN` replaced by the folder that the file was opened through."""
    origin = str(requester.parent)
    return Path(text.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))
