"""What a bundle has of aotpack's own, and the licence texts that its content asks for."""

from __future__ import annotations

from collections.abc import Iterator

from aotpack import resources
from aotpack.bundle import licenses
from aotpack.bundle.entries import Copy, Entry, Part
from aotpack.environment.torch import TorchInfo
from aotpack.libraries.closure import Closure
from aotpack.libraries.recipe import Recipe
from aotpack.native.launcher import build_hashes
from aotpack.runtime.choice import Runtime
from aotpack_doctor.base.places import HASHES, INCLUDE, RUNNER, SHARE


def own_files() -> Iterator[Entry]:
    """The runner, the doctor, and what embedding programs use."""
    for source, folder, part, reason in (
        (resources.TEMPLATES / "runner", RUNNER, Part.RUNNER, "the Python runner"),
        (resources.DOCTOR, f"{RUNNER}/aotpack_doctor", Part.RUNNER, "aotrun doctor"),
        (resources.BRIDGE / "include", INCLUDE, Part.HEADERS, "for programs that embed the bundle"),
        (resources.TEMPLATES / "share", SHARE, Part.HEADERS, "for programs that embed the bundle"),
    ):
        for path in resources.files_below(source):
            yield Entry(f"{folder}/{path.relative_to(source).as_posix()}", part, reason, Copy(path))
    page = Copy(resources.DOCTOR_PAGE)
    yield Entry(f"{RUNNER}/aotpack_doctor/doctor.md", Part.RUNNER, "what aotrun doctor has to say at length", page)
    yield Entry(HASHES, Part.RUNNER, "aotrun doctor hashes with it", Copy(build_hashes()))


def license_texts(torch: TorchInfo, recipe: Recipe, runtime: Runtime, *closures: Closure) -> Iterator[Entry]:
    """The texts that the bundle's content asks for; the slim runtime carries nothing of torch."""
    yield licenses.of_aotpack()
    if runtime == "full" and torch.site_packages is not None:
        yield from licenses.of_wheels(torch.site_packages, recipe)
    libraries = [library.path for closure in closures for library in closure.libraries]
    yield from licenses.of_system(libraries)
