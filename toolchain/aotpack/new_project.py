"""Write a small complete project that embeds a bundle, from templates/consumers.

The templates are valid projects themselves, named `aot-app`; a new project is a copy under another name.
"""

from __future__ import annotations

import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aotpack import resources
from aotpack.errors import DamagedError, UsageError
from aotpack_doctor.base.places import BRIDGE, DESCRIPTION, INCLUDE

LANGUAGES: tuple[str, ...] = ("c", "cpp", "rust", "python")

#: The templates' own name, as the name of a program and as an identifier.
_TEMPLATE_NAME = "aot-app"
_TEMPLATE_IDENTIFIER = _TEMPLATE_NAME.replace("-", "_")

#: What tools leave behind in a template that was built in place.
_LEFTOVERS = {"__pycache__", "bundle", "build", "deploy", "target", ".mypy_cache", ".pytest_cache", ".ruff_cache"}

#: Rust's keywords and own crates that are neither Python's keywords nor its modules.
_RUST = frozenset(
    """
    abstract alloc become box const core crate do dyn extern false final fn impl let loop macro match mod move mut
    override priv proc-macro pub ref self static std super trait true type typeof unsafe unsized use virtual where
    """.split()  # noqa: SIM905  (a list of words)
)
#: Names that would not compile as a crate, or that would hide a package that the project itself imports.
_RESERVED = _RUST.union(keyword.kwlist, sys.stdlib_module_names, ["aotrun"])


def project_name(folder: Path) -> str:
    """The name that a project in `folder` gets: lower case, words joined by `-`; valid in every language.

    Raises:
        UsageError: nothing of the folder's name can be used.
    """
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")
    name = re.sub(r"^[0-9-]+", "", name)
    if not name or _RESERVED.intersection((name, name.replace("-", "_"))):
        raise UsageError(
            f"the folder name {folder.name!r} does not make a project name",
            meaning="the project is named after its folder, and a crate or a package cannot have this name",
            fix="name the folder like my-app",
        )
    return name


def rename(text: str, name: str) -> str:
    """`text` of a template, with the project's name in place of the template's."""
    return text.replace(_TEMPLATE_NAME, name).replace(_TEMPLATE_IDENTIFIER, name.replace("-", "_"))


def template_files(language: str) -> Iterator[Path]:
    """The files of a template, relative to it, in a fixed order."""
    root = resources.TEMPLATES / "consumers" / language
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not _LEFTOVERS.intersection(relative.parts):
            yield relative


def create(language: str, folder: Path, bundle: Path | None = None) -> list[Path]:
    """Write the project of `language` into `folder`, all or nothing, with a relative link to `bundle` if given.

    Returns:
        The files written, relative to `folder`.

    Raises:
        UsageError: `folder` exists and is not empty, or its name cannot be used.
        DamagedError: `bundle` is not a bundle, or has no libaot_bridge.so.
    """
    folder = folder.absolute()
    name = project_name(folder)
    if bundle is not None:
        _check_bundle(bundle)
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise UsageError(
            f"{folder} exists and is not an empty folder",
            meaning="a new project does not overwrite anything",
            fix="choose another folder",
        )

    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        files = _write(language, name, scratch)
        if bundle is not None:
            # From where both really lie: the ways there may go through links.
            bundle = bundle.absolute().parent.resolve() / bundle.absolute().name
            (scratch / "bundle").symlink_to(os.path.relpath(bundle, folder.resolve()))
        scratch.chmod(0o755)
        scratch.rename(folder)  # takes the place of an empty folder
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return files


def _check_bundle(bundle: Path) -> None:
    for needed in (DESCRIPTION, BRIDGE, f"{INCLUDE}/aot_bridge.h"):
        if not (bundle / needed).is_file():
            raise DamagedError(
                f"{bundle} has no {needed}",
                meaning="it is not a bundle, or not a whole one",
                fix="give the folder that `aotpack build --output` wrote; `aotpack verify` checks it",
            )


def _write(language: str, name: str, destination: Path) -> list[Path]:
    source = resources.TEMPLATES / "consumers" / language
    written = []
    for relative in template_files(language):
        target = Path(rename(str(relative), name))
        path = destination / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rename((source / relative).read_text(encoding="utf-8"), name), encoding="utf-8")
        written.append(target)
    return written
