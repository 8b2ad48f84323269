"""The licence texts that travel: those of wheels by the recipe's globs, those of the system's libraries by package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from aotpack import resources
from aotpack.bundle.entries import Copy, Entry, Part
from aotpack.libraries.recipe import Recipe
from aotpack.tools import dpkg
from aotpack_doctor.base.places import LICENSES


def of_wheels(site_packages: Path, recipe: Recipe) -> Iterator[Entry]:
    """Texts that the wheels of a backend's environment bring, at their places below `licenses/COMPONENT/`."""
    for line in recipe.licenses:
        for path in sorted(site_packages.glob(line.glob)):
            if path.is_file():
                parts = path.relative_to(site_packages).parts
                place = "/".join(part.removesuffix(".dist-info") for part in parts if part != "licenses")
                yield _entry(f"{line.component}/{place}", line.component, path)


def of_system(libraries: Iterable[Path]) -> Iterator[Entry]:
    """The copyright files of the Debian packages that libraries come from; nothing elsewhere, where no one says.

    glibc and GCC's run-time libraries are free to pass on with these texts.
    """
    owners = dpkg.owners(path for path in libraries if _is_system(path))
    for package in sorted({owner.partition(":")[0] for owner in owners.values()}):
        text = Path("/usr/share/doc") / package / "copyright"
        if text.is_file():
            yield _entry(f"{package}/copyright", package, text)


def of_aotpack() -> Entry:
    """Our own, for the launcher, the bridge and the runner."""
    return _entry("aotpack/LICENSE", "aotpack", resources.LICENSE)


def _is_system(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in ("/usr", "/lib", "/lib64"))


def _entry(place: str, component: str, path: Path) -> Entry:
    return Entry(f"{LICENSES}/{place}", Part.LICENSES, f"licence of {component}", Copy(path))
