"""What is left out, in bytes: groups that are off, code and data of other GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.bundle.inputs import DataFile, Saving
from aotpack.bundle.savings import savings
from aotpack.elf.facts import Elf
from aotpack.libraries.closure import Closure, Root, walk
from aotpack.libraries.recipe import Group, Recipe, TorchSource
from tests.support.bundles.inputs import build_inputs

SIZES = {"libroot.so": 1000, "libblas.so": 200, "libjit.so": 30, "libfft.so": 4}
NEEDS = {"libroot.so": ("libblas.so", "libfft.so"), "libblas.so": ("libjit.so",)}
RECIPE = Recipe(
    schema=1,
    backend=Backend.CUDA,
    layout="flat",
    torch=TorchSource("2.13.0"),
    roots=("libroot.so",),
    groups={
        "blas": Group(("libblas.so",), needs=("jit",), stub=True),
        "jit": Group(("libjit.so",), stub=True),
        "fft": Group(("libfft.so",), stub=True),
    },
)


class Folder:
    """A finder of files that lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, size in SIZES.items():
            (folder / name).write_bytes(bytes(size))

    def find(self, soname: str, _requester: Path | None) -> Path | None:
        return self.folder / soname

    def match(self, _pattern: str, _requester: Path | None) -> Sequence[tuple[str, Path]]:
        return ()

    def read(self, path: Path) -> Elf:
        return Elf("x86_64", path.name, NEEDS.get(path.name, ()))


@pytest.fixture
def finder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def closure(finder: Folder, on: frozenset[str]) -> Closure:
    return walk([Root("libroot.so", finder.folder / "libroot.so", "a root")], finder, RECIPE, features=on)


@pytest.mark.parametrize(
    ("on", "saved"),
    [
        (frozenset(), {"blas": 230, "jit": 0, "fft": 4}),
        (frozenset({"fft"}), {"blas": 230, "jit": 0}),
        (frozenset({"blas", "jit"}), {"fft": 4}),
        (frozenset({"blas", "jit", "fft"}), {}),
    ],
)
def test_a_group_that_is_off_spares_its_libraries_and_what_comes_with_them(
    finder: Folder, on: frozenset[str], saved: dict[str, int]
) -> None:
    inputs = build_inputs(recipe=RECIPE, libraries=closure(finder, on))
    expected = [Saving(f"group {name} is off", size) for name, size in saved.items() if size]
    assert list(savings(inputs, on, finder)) == expected


def test_a_development_bundle_spares_nothing(finder: Folder) -> None:
    inputs = build_inputs(recipe=RECIPE, portable=False, libraries=closure(finder, frozenset()))
    assert not list(savings(inputs, frozenset(), finder))


def test_data_of_other_gpus(tmp_path: Path, finder: Folder) -> None:
    """What names no GPU stays."""
    places = ("lib/rocblas/library/Kernels_gfx942.hsaco", "lib/rocblas/library/Kernels_gfx90a.hsaco", "lib/x.dat")
    data = []
    for number, place in enumerate(places, 1):
        source = tmp_path / Path(place).name
        source.write_bytes(bytes(number * 10))
        data.append(DataFile(source, place, "librocblas.so.4", "beside itself"))
    on = frozenset(RECIPE.groups)
    inputs = build_inputs(recipe=RECIPE, libraries=closure(finder, on), data=tuple(data), archs=("gfx942",))
    assert list(savings(inputs, on, finder)) == [Saving("--arch gfx942", 20)]
