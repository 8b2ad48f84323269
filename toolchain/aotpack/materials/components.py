"""Whose a file is: the package that it came with, and the terms it is under. Reads this machine and asks its dpkg."""

from __future__ import annotations

import importlib.metadata
import re
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name

from aotpack import __version__
from aotpack.environment.wheel_records import recorded_files
from aotpack.patterns import matches_any
from aotpack.tools import dpkg
from aotpack.tools.libraries import need

_TABLE = Path(__file__).with_name("components.toml")
#: Of the standard library of Python.
_PYTHON_LICENSE = "PSF-2.0"
#: The wheel that carries libraries of others under its own name.
_GRAFTING = "torch"


@dataclass(frozen=True)
class Component:
    """A package that files of a bundle came with."""

    name: str
    #: Empty when nothing says it.
    version: str = ""
    supplier: str = ""
    #: An SPDX expression; None when nothing says it.
    license: str | None = None
    #: Of a package URL: pypi, deb or generic.
    kind: str = "generic"
    #: Of a package URL: `debian` for deb.
    namespace: str | None = None
    qualifiers: tuple[tuple[str, str], ...] = ()


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    supplier: str
    license: str
    files: tuple[str, ...]


AOTPACK = Component("aotpack", __version__, "aotpack maintainers", "Apache-2.0", "pypi")


def cpython(version: str) -> Component:
    """The interpreter that travels."""
    return Component("cpython", version, "Python Software Foundation", _PYTHON_LICENSE)


def components_of(paths: Iterable[Path], site_packages: Path | None) -> dict[Path, Component]:
    """The component of each file of this machine; what nothing claims is its own, without a licence.

    Args:
        paths: libraries and data files.
        site_packages: where the wheels of the backend's environment are.
    """
    asked = list(dict.fromkeys(paths))
    found: dict[Path, Component] = {}
    real = {path: path.resolve() for path in asked}
    folders = [folder for folder in (site_packages, Path(sysconfig.get_path("purelib"))) if folder is not None]
    wheels = _of_wheels(set(real.values()), folders)
    packages = _of_dpkg([path for path in asked if real[path] not in wheels])
    for path in asked:
        owner = wheels.get(real[path]) or packages.get(path) or Component(_stem(path.name))
        found[path] = _by_name(owner, path.name)
    return found


def _by_name(owner: Component, name: str) -> Component:
    """What the table says of a file: all, where its package only passes it on; else what the package does not say."""
    row = next((row for row in _table() if matches_any(name, row.files)), None)
    if row is None:
        return owner
    if owner.kind == "generic" or owner.name == _GRAFTING:
        return Component(row.name, supplier=row.supplier, license=row.license)
    return replace(owner, supplier=owner.supplier or row.supplier, license=owner.license or row.license)


@cache
def _table() -> tuple[_Row, ...]:
    document = msgspec.toml.decode(_TABLE.read_bytes(), type=dict[str, tuple[_Row, ...]])
    return document["component"]


def _stem(name: str) -> str:
    """`libfoo` of `libfoo-abc.so.1.2`."""
    return re.split(r"\.so\b|-[0-9a-f]{8}\b", name)[0]


def _of_wheels(real: set[Path], folders: Sequence[Path]) -> dict[Path, Component]:
    """Files that installed wheels list as theirs."""
    found: dict[Path, Component] = {}
    names = {path.name for path in real}
    for folder in dict.fromkeys(folders):
        for wheel in importlib.metadata.distributions(path=[str(folder)]):
            for file in recorded_files(wheel):
                if file.name in names and (path := Path(str(wheel.locate_file(file))).resolve()) in real:
                    found.setdefault(path, _of_wheel(wheel))
    return found


def _of_wheel(wheel: importlib.metadata.Distribution) -> Component:
    """What a wheel says of itself; one without metadata has its name and version from its folder's name."""
    metadata = wheel.metadata
    folders = (file.parts[0] for file in recorded_files(wheel) if file.parts[0].endswith(".dist-info"))
    name, _, version = next(folders, "").removesuffix(".dist-info").partition("-")

    def field(name: str) -> str:
        value = metadata.get(name) if hasattr(metadata, "get") else None
        return "" if value is None else str(value).strip()

    author = field("Author") or field("Maintainer") or field("Author-email") or field("Maintainer-email")
    return Component(
        name=field("Name") or canonicalize_name(name),
        version=field("Version") or version,
        supplier=re.sub(r"\s*<[^>]*>", "", author).strip().strip('"'),
        license=spdx(field("License-Expression")) or spdx(field("License")),
        kind="pypi",
    )


def spdx(text: str) -> str | None:
    """A licence expression in SPDX's own spelling; None when it is none."""
    if not text or "\n" in text:
        return None
    text = {"apache 2.0": "Apache-2.0", "apache v2.0": "Apache-2.0"}.get(text.lower(), text)
    expressions = need("license_expression", "license-expression", "a bill of materials", "license-expression>=30")
    licensing = expressions.get_spdx_licensing()
    try:
        parsed = licensing.parse(text, strict=True)
    except expressions.ExpressionError:
        return None
    unknown = [key for key in licensing.unknown_license_keys(parsed) if not key.startswith("LicenseRef-")]
    return None if unknown else text


def _of_dpkg(paths: Sequence[Path]) -> dict[Path, Component]:
    """Files of Debian's packages and its descendants'; nothing elsewhere."""
    owners = dpkg.owners(paths)
    if not owners:
        return {}
    form = "${binary:Package}\t${Package}\t${Version}\t${Architecture}\t${Maintainer}\n"
    listed = dpkg.query("--show", "--showformat", form, *sorted(set(owners.values())))
    components: dict[str, Component] = {}
    for line in listed.splitlines():
        binary, name, version, architecture, maintainer = line.split("\t")
        component = Component(
            name, version, re.sub(r"\s*<[^>]*>", "", maintainer), None, "deb", _vendor(), (("arch", architecture),)
        )
        components |= {binary: component, f"{name}:{architecture}": component, name: component}
    return {path: components[owner] for path, owner in owners.items() if owner in components}


@cache
def _vendor() -> str:
    """`debian`, `ubuntu`, ...: the distribution that a deb is of."""
    import platform

    try:
        return str(platform.freedesktop_os_release().get("ID", "debian"))
    except OSError:
        return "debian"
