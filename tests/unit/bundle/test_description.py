"""What a bundle asks of a target, from the facts of its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.bundle import description
from aotpack.bundle.inputs import PlannedModel
from aotpack.bundle.manifest import BundleFloors, FileRecord
from aotpack.bundle.plan import BundlePlan
from aotpack.elf.facts import Elf
from aotpack.libraries.recipe import DriverFloor, Recipe, TorchSource
from aotpack.package.metadata import ModelMetadata
from tests.support.bundles.hand_made import elf_file
from tests.support.bundles.inputs import TORCH, build_inputs

RECIPE = Recipe(
    schema=1,
    backend=Backend.CUDA,
    layout="flat",
    torch=TorchSource("2.13.0"),
    roots=(),
    driver_floors=(DriverFloor("12.8", "570.26", "525.60"), DriverFloor("13.1", "590.44", "580.0")),
)


def model(name: str, **metadata: object) -> PlannedModel:
    return PlannedModel(name, ModelMetadata(**metadata), Path(f"{name}.pt2"), ())  # type: ignore[arg-type]


def wants(**versions: tuple[str, ...]) -> Elf:
    """A library that wants versions of glibc and of GCC's C++ library."""
    names = {"glibc": ("libc.so.6", "GLIBC"), "glibcxx": ("libstdc++.so.6", "GLIBCXX")}
    needs = {names[of][0]: tuple(f"{names[of][1]}_{text}" for text in texts) for of, texts in versions.items()}
    return Elf("x86_64", None, (), version_needs=needs)


FACTS = {
    "bin/aotrun": wants(),
    "lib/libaot_bridge.so": wants(glibc=("2.17", "2.28"), glibcxx=("3.4.21",)),
    "lib/libtorch_cpu.so": wants(glibc=("2.9",), glibcxx=("3.4.30",)),
    "models/mlp/model.so": wants(glibc=("2.14",), glibcxx=("3.4.9",)),
    "python/bin/python3": wants(glibc=("2.36", "2.4", "PRIVATE")),
    "libc/libm.so.6": wants(glibc=("2.40",)),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A staged folder whose files have the facts of the table."""
    for name in FACTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(elf_file())
    monkeypatch.setattr(description, "read_elf", lambda path: FACTS[str(path.relative_to(tmp_path))])
    return tmp_path


def floors(folder: Path, **inputs: object) -> BundleFloors:
    records = [FileRecord(path=name, part="runtime", reason="a reason") for name in FACTS]
    records.append(FileRecord(path="lib/link.so", part="runtime", reason="a reason", link="libtorch_cpu.so"))
    given = build_inputs(**{"recipe": RECIPE, **inputs})
    return description.describe(folder, records, given, BundlePlan(())).floors


def test_the_newest_glibc_that_a_file_wants_is_the_floor(folder: Path) -> None:
    """The interpreter serves the command line alone; a program that embeds the bundle brings its own C++ library."""
    seen = floors(folder, libc="host")
    assert (seen.glibc, seen.embedding_glibc, seen.embedding_glibcxx) == ("2.36", "2.28", "3.4.21")
    assert seen.kernel is None


def test_a_bundle_with_its_own_libc_asks_for_a_kernel(folder: Path) -> None:
    libc = next(path for path in map(Path, ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6")) if path.exists())
    (folder / "libc" / "libc.so.6").write_bytes(libc.read_bytes())
    seen = floors(folder)
    assert (seen.glibc, seen.embedding_glibc) == (None, "2.28")
    assert seen.kernel is not None
    assert [part.isdigit() for part in seen.kernel.split(".")] == [True] * 3


def test_a_development_bundle_uses_the_machines_cpp_library(folder: Path) -> None:
    assert floors(folder, portable=False).embedding_glibcxx is None


def test_cpu_features_of_all_models_add_up(folder: Path) -> None:
    models = (model("one", cpu_features=("fma", "avx2")), model("two", cpu_features=("avx512f", "fma")))
    assert floors(folder, models=models).cpu_features == ("avx2", "avx512f", "fma")


@pytest.mark.parametrize(
    ("cuda", "driver"), [("12.8", "525.60"), ("13.1.2", "580.0"), ("13.10", None), ("14.1", None), (None, None)]
)
def test_the_driver_follows_from_the_toolkit(folder: Path, cuda: str | None, driver: str | None) -> None:
    assert floors(folder, torch=replace(TORCH, cuda=cuda)).driver == driver


def test_gpus_are_those_asked_for_or_those_of_the_models(folder: Path) -> None:
    models = (model("one", gpu_archs=("sm_90",)), model("two", gpu_archs=("sm_80", "sm_90")))

    def archs(**inputs: object) -> tuple[str, ...]:
        given = build_inputs(recipe=RECIPE, models=models, **inputs)
        return description.describe(folder, [], given, BundlePlan(())).gpu_archs

    assert archs() == ("sm_80", "sm_90")
    assert archs(archs=("sm_90",)) == ("sm_90",)
