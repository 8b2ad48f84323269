"""The description of a staged folder: what it is and what it asks of a target. Reads the folder, writes nothing."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from aotpack import __version__
from aotpack.bundle.inputs import BuildInputs
from aotpack.bundle.manifest import BuildHost, Bundle, BundleFloors, FileRecord, Torch
from aotpack.bundle.plan import BundlePlan
from aotpack.elf.facts import highest, is_elf, read_elf
from aotpack_doctor.base.places import LIB, LIBC, MODELS


def describe(folder: Path, records: Sequence[FileRecord], inputs: BuildInputs, plan: BundlePlan) -> Bundle:
    """The document of a folder that is written but for it."""
    features = {feature for model in inputs.models for feature in model.metadata.cpu_features}
    driver = inputs.recipe.driver_floor(inputs.torch.cuda or inputs.torch.hip or "")
    archs = inputs.archs or {arch for model in inputs.models for arch in model.metadata.gpu_archs}
    return Bundle(
        aotpack=__version__,
        backend=inputs.recipe.backend,
        runtime=inputs.runtime,
        portable=inputs.portable,
        libc="bundled" if inputs.portable and inputs.libc == "bundled" else "host",
        python="bundled" if inputs.portable and inputs.interpreter else "host",
        torch=Torch(inputs.torch.version, inputs.torch.variant),
        built_on=BuildHost(
            system=_system_name(),
            machine=platform.machine(),
            glibc=platform.libc_ver()[1] or None,
            compiler=inputs.compiler,
            python=inputs.python_version,
        ),
        floors=_floors(folder, records, tuple(sorted(features)), driver.minimum if driver else None, inputs),
        gpu_archs=tuple(sorted(archs)),
        features=inputs.features,
        host_libraries=plan.host_libraries,
        models={model.name: model.metadata for model in inputs.models if not model.is_variant},
        files=tuple(records),
    )


def _floors(
    folder: Path,
    records: Sequence[FileRecord],
    features: tuple[str, ...],
    driver: str | None,
    inputs: BuildInputs,
) -> BundleFloors:
    glibc: dict[str, list[str]] = {"command line": [], "embedding": []}
    glibcxx: list[str] = []
    for record in records:
        path = folder / record.path
        if record.link is not None or record.path.startswith(f"{LIBC}/") or not is_elf(path):
            continue
        elf = read_elf(path)
        for use in (
            ("command line", "embedding") if record.path.startswith((f"{LIB}/", f"{MODELS}/")) else ("command line",)
        ):
            glibc[use] += filter(None, [elf.floor("GLIBC")])
        if record.path.startswith((f"{LIB}/libaot", f"{MODELS}/")):
            glibcxx += filter(None, [elf.floor("GLIBCXX")])
    libc = folder / LIBC / "libc.so.6"
    return BundleFloors(
        glibc=None if libc.exists() else highest(glibc["command line"]),
        kernel=_kernel_floor(libc) if libc.exists() else None,
        cpu_features=features,
        driver=driver,
        embedding_glibc=highest(glibc["embedding"]),
        embedding_glibcxx=highest(glibcxx) if inputs.portable else None,
    )


def _kernel_floor(libc: Path) -> str | None:
    """The oldest kernel that this glibc runs on, from its ABI note."""
    with libc.open("rb") as stream:
        for section in ELFFile(stream).iter_sections("SHT_NOTE"):
            if isinstance(section, NoteSection):
                for note in section.iter_notes():
                    if note["n_type"] == "NT_GNU_ABI_TAG":
                        tag = note["n_desc"]
                        return f"{tag['abi_major']}.{tag['abi_minor']}.{tag['abi_tiny']}"
    return None


def _system_name() -> str:
    """The build machine's distribution, such as `Debian GNU/Linux 12 (bookworm)`."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
