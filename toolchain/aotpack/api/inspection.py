"""`aotpack.inspect`: what is this?"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from aotpack.api.bundles import Bundle
from aotpack.api.packages import Package
from aotpack.elf.facts import Elf, is_elf, read_elf
from aotpack.environment.search import detect
from aotpack.environment.torch import TorchInfo
from aotpack.errors import UsageError
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.base.single_file import is_single_file


def inspect(path: str | os.PathLike[str]) -> Bundle | Package | TorchInfo | Elf:
    """What a path is: a bundle, a package, an environment with torch, or an ELF file.

        aotpack.inspect("mlp.pt2").inputs
        aotpack.inspect("dist/mlp").sizes()

    Raises:
        UsageError: it is none of these.
        AotpackError: its other subclasses, for what is damaged or holds no torch.
    """
    path = Path(path)
    if is_single_file(str(path)) or (path.is_dir() and (path / DESCRIPTION).is_file()):
        bundle = Bundle(path)
        _ = bundle.description  # raises for what is none
        return bundle
    if path.is_dir():
        return detect(path)
    if is_elf(path):
        return _elf(path)
    if _is_array(path):
        raise UsageError(
            f"{path}: a NumPy array",
            meaning="it is an input or an output of a model, and not one of the things that are looked at here",
            fix=f"BUNDLE/bin/aotrun infer --input {path}   # BUNDLE/bin/aotrun info says what a model takes",
        )
    package = Package(path)
    _ = package.info  # raises for what is none
    return package


def _elf(path: Path) -> Elf:
    try:
        return read_elf(path)
    except ValueError as error:
        raise UsageError(
            f"{path}: {error}", meaning="the file is truncated or damaged", fix="copy or build the file again"
        ) from error


def _is_array(path: Path) -> bool:
    """Whether it is a .npy, or a .npz: an archive of them alone."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            return True
        try:
            names = zipfile.ZipFile(file).namelist()
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
            return False
    return bool(names) and all(name.endswith(".npy") for name in names)
