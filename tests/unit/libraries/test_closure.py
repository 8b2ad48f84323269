"""The walk over needs, on a file system that exists only as a table."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path

from aotpack.backend import Backend
from aotpack.elf.facts import Elf
from aotpack.libraries.closure import Root, walk
from aotpack.libraries.finder import expand_origin
from aotpack.libraries.origins import Origin, origin_of
from aotpack.libraries.recipe import Dlopen, Group, Recipe, TorchSource

FOLDER = Path("/libs")


@dataclass
class Table:
    """A Finder over a table of soname -> what it needs."""

    needs: dict[str, tuple[str, ...]]

    def find(self, soname: str, requester: Path | None) -> Path | None:
        return FOLDER / soname if soname in self.needs else None

    def match(self, pattern: str, requester: Path | None) -> list[tuple[str, Path]]:
        return [(name, FOLDER / name) for name in sorted(fnmatch.filter(self.needs, pattern))]

    def read(self, path: Path) -> Elf:
        return Elf("x86_64", path.name, self.needs[path.name])


def recipe(**fields: object) -> Recipe:
    base: dict[str, object] = {
        "schema": 1,
        "backend": Backend.CPU,
        "layout": "flat",
        "torch": TorchSource("2.13.0"),
        "roots": ("libroot.so",),
    }
    return Recipe(**{**base, **fields})  # type: ignore[arg-type]


def root(name: str = "libroot.so") -> Root:
    return Root(name, FOLDER / name, "recipe")


def test_each_library_once_with_the_first_reason() -> None:
    table = Table({"libroot.so": ("liba.so", "libb.so"), "liba.so": ("libb.so",), "libb.so": ("liba.so",)})
    found = walk([root()], table)
    assert [(library.name, library.reason) for library in found.libraries] == [
        ("libroot.so", "recipe"),
        ("liba.so", "needed by libroot.so"),
        ("libb.so", "needed by libroot.so"),
    ]
    assert not found.missing


def test_a_need_that_nothing_satisfies_is_named_with_who_needs_it() -> None:
    found = walk([root()], Table({"libroot.so": ("libgone.so.1",)}))
    assert [(need.soname, need.reason) for need in found.missing] == [("libgone.so.1", "needed by libroot.so")]


def test_what_is_opened_at_run_time_is_followed_as_the_recipe_says() -> None:
    table = Table({"libroot.so": (), "liblazy.so": ("libdeep.so",), "libdeep.so": ()})
    lines = (Dlopen("libroot.so", ("liblazy.so",)),)
    found = walk([root()], table, recipe(dlopen=lines))
    assert [library.name for library in found.libraries] == ["libroot.so", "liblazy.so", "libdeep.so"]
    assert found.libraries[1].reason == "opened at run time by libroot.so"


def test_a_group_that_is_off_is_not_followed() -> None:
    table = Table({"libroot.so": (), "liblinalg.so": ()})
    lines = (Dlopen("libroot.so", ("liblinalg.so",), group="linalg"),)
    groups = {"linalg": Group(("liblinalg.so",))}
    off = walk([root()], table, recipe(dlopen=lines, groups=groups), features=frozenset())
    on = walk([root()], table, recipe(dlopen=lines, groups=groups), features=frozenset({"linalg"}))
    everything = walk([root()], table, recipe(dlopen=lines, groups=groups))
    assert [library.name for library in off.libraries] == ["libroot.so"]
    assert [library.name for library in on.libraries] == ["libroot.so", "liblinalg.so"]
    assert everything == on


def test_a_pattern_stands_for_every_version_there_is() -> None:
    table = Table({"libnvrtc.so.13": (), "libnvrtc-builtins.so.13.0": (), "libother.so": ()})
    lines = (Dlopen("libnvrtc.so.*", ("libnvrtc-builtins.so.*",)),)
    found = walk([root("libnvrtc.so.13")], table, recipe(dlopen=lines))
    assert [library.name for library in found.libraries] == ["libnvrtc.so.13", "libnvrtc-builtins.so.13.0"]


def test_a_library_of_a_group_that_is_off_is_left_out_with_all_that_it_needs() -> None:
    table = Table(
        {"libroot.so": ("libfft.so", "libc10.so"), "libfft.so": ("libdeep.so",), "libdeep.so": (), "libc10.so": ()}
    )
    groups = {"fft": Group(("libfft.so",), stub=True)}
    found = walk([root()], table, recipe(groups=groups), features=frozenset())
    assert [library.name for library in found.libraries] == ["libroot.so", "libc10.so"]
    assert [(left.name, left.path, left.group, left.reason) for left in found.left_out] == [
        ("libfft.so", FOLDER / "libfft.so", "fft", "needed by libroot.so")
    ]


def test_a_library_that_a_stub_replaces_is_not_opened_in_its_place() -> None:
    table = Table({"libroot.so": ("libfft.so",), "libfft.so": (), "libblas.so": ()})
    groups = {"fft": Group(("libfft.so",), stub=True)}
    lines = (Dlopen("libroot.so", ("libfft.so", "libblas.so")),)
    found = walk([root()], table, recipe(groups=groups, dlopen=lines), features=frozenset())
    assert [library.name for library in found.libraries] == ["libroot.so", "libblas.so"]


def test_what_is_only_opened_at_run_time_may_be_absent() -> None:
    lines = (Dlopen("libroot.so", ("libnewer.so",)),)
    assert not walk([root()], Table({"libroot.so": ()}), recipe(dlopen=lines)).missing


def test_host_libraries_stay_on_the_host() -> None:
    table = Table({"libroot.so": ("libcuda.so.1",), "libcuda.so.1": ()})
    found = walk([root()], table, recipe(host_libraries=("libcuda.so.*",)))
    assert [need.soname for need in found.host] == ["libcuda.so.1"]
    assert [library.name for library in found.libraries] == ["libroot.so"]


def test_host_libraries_stay_on_the_host_also_when_a_model_names_them() -> None:
    table = Table({"libroot.so": (), "libcuda.so.1": ()})
    driver = Root("libcuda.so.1", Path("/driver/libcuda.so.1"), "needed by model m")
    found = walk([root(), driver], table, recipe(host_libraries=("libcuda.so.*",)))
    assert [need.soname for need in found.host] == ["libcuda.so.1"]
    assert [library.name for library in found.libraries] == ["libroot.so"]


def test_a_library_outside_the_recipe_is_reported() -> None:
    table = Table(
        {"libroot.so": ("libknown.so", "libodd.so", "libc.so.6"), "libknown.so": (), "libodd.so": (), "libc.so.6": ()}
    )
    found = walk([root()], table, recipe(known_libraries=("libknown.so",)))
    assert [library.name for library in found.unknown] == ["libodd.so"]


def test_origins() -> None:
    assert origin_of("libc.so.6") is Origin.GLIBC
    assert origin_of("ld-linux-x86-64.so.2") is Origin.GLIBC
    assert origin_of("ld-linux-aarch64.so.1") is Origin.GLIBC
    assert origin_of("libstdc++.so.6") is Origin.GCC
    assert origin_of("libc10.so") is Origin.BUNDLED
    assert origin_of("libcuda.so.1") is Origin.BUNDLED


def test_origin_is_the_folder_it_was_opened_through() -> None:
    assert expand_origin("$ORIGIN/../lib", Path("/a/b/x.so")) == Path("/a/b/../lib")
    assert expand_origin("${ORIGIN}", Path("/a/b/x.so")) == Path("/a/b")
