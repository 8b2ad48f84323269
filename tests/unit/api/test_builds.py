"""What a build exports first, and what it takes as it is: the exporter is played by a function."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from aotpack.api import builds, exports
from aotpack.api.packages import Package
from aotpack.errors import DamagedError, UsageError
from aotpack.exporting.sources import Source


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Source, dict[str, Any]]]:
    """What was exported, in order."""
    calls: list[tuple[Source, dict[str, Any]]] = []

    def export_once(source: Source, *, name: str | None, **options: Any) -> Package:
        calls.append((source, options))
        return Package(f"/cache/{name or source.name}.pt2")

    monkeypatch.setattr(exports, "export_once", export_once)
    return calls


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "{}")
    return path


def packages(models: Any, **options: Any) -> list[tuple[str | None, str]]:
    found = builds.packages_of(models, backend="cpu", venv=None, options=options)
    return [(name, str(path)) for name, path in found]


def test_sources_are_exported_and_packages_taken(tmp_path: Path, exported: list[tuple[Source, dict[str, Any]]]) -> None:
    file = tmp_path / "m.py"
    file.touch()
    program = archive(tmp_path / "saved.pt2", "saved/models/model.json")
    package = archive(tmp_path / "p.pt2", "p/data/aotinductor/model/model.so")
    given = [f"{file}:encode", ("second", f"{file}:decode"), str(program), package, ("own", Package(package))]
    assert packages(given, verify=True) == [
        ("encode", "/cache/encode.pt2"),
        ("second", "/cache/second.pt2"),
        ("saved", "/cache/saved.pt2"),
        (None, str(package)),
        ("own", str(package)),
    ]
    assert [source for source, _ in exported] == [
        Source(file, function="encode"),
        Source(file, function="decode"),
        Source(program),
    ]
    assert all(options["verify"] and options["device"] == "cpu" for _, options in exported)


def test_several_are_given_by_name_or_alone(tmp_path: Path) -> None:
    package = archive(tmp_path / "p.pt2", "p/data/aotinductor/model/model.so")
    assert packages({"a": package, "b": package}) == [("a", str(package)), ("b", str(package))]
    assert packages(package) == [(None, str(package))]


def test_what_is_neither_is_said_before_anything_is_exported(tmp_path: Path) -> None:
    (tmp_path / "text.pt2").write_text("no archive")
    with pytest.raises(DamagedError):
        packages(tmp_path / "text.pt2")
    with pytest.raises(UsageError, match=r"none\.py: no such file"):
        packages("none.py:model")


def test_sources_for_gpus_are_compiled_for_those_of_the_bundle(
    tmp_path: Path, exported: list[tuple[Source, dict[str, Any]]]
) -> None:
    (tmp_path / "m.py").touch()
    for backend, options in (
        ("cuda", {}),
        ("cuda", {"archs": ("sm_90",)}),
        ("cuda", {"device": "cpu"}),
    ):
        builds.packages_of(f"{tmp_path / 'm.py'}:model", backend=backend, archs=("sm_80",), venv=None, options=options)
    assert [each.get("archs") for _, each in exported] == [("sm_80",), ("sm_90",), None]


def test_gpus_that_the_bundle_cannot_be_for_are_said_before_anything_is_exported(
    tmp_path: Path, exported: list[tuple[Source, dict[str, Any]]]
) -> None:
    (tmp_path / "m.py").touch()
    for backend, arch in (("cpu", "sm_80"), ("rocm", "sm_80"), ("cuda", "sm_90a")):
        with pytest.raises(UsageError, match=f"--arch {arch}: ") as caught:
            builds.packages_of(f"{tmp_path / 'm.py'}:model", backend=backend, archs=(arch,), venv=None, options={})
        assert "that the bundle is to run on" in caught.value.meaning
    assert exported == []
