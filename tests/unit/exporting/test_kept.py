"""When a package is exported again: the exporter is played by a function, the cache is real."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aotpack.backend import Backend
from aotpack.environment.torch import TorchInfo
from aotpack.exporting import driving, kept
from aotpack.exporting.driving import ExportReport, ExportRequest
from aotpack.exporting.worker.reading import FOLDER, listing
from aotpack.package.metadata import ModelMetadata
from aotpack.progress.reporter import Reporter


class Exporter:
    """A double of `driving.export`: copies the source, and says that it read it and its weights."""

    def __init__(self, *files: Path) -> None:
        self.files = files
        self.folders: tuple[Path, ...] = ()
        self.settings: tuple[str, ...] = ()
        self.calls = 0

    def __call__(self, request: ExportRequest, *_arguments: Any, **_options: Any) -> ExportReport:
        self.calls += 1
        assert request.file is not None
        shutil.copy(request.file, request.output)
        folders = {str(folder): listing(str(folder)) for folder in self.folders}
        files = tuple(map(str, self.files))
        return ExportReport(request.output, ModelMetadata(), ("careful",), (), files, folders, self.settings)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "read_model", lambda _path: type("Info", (), {"metadata": ModelMetadata()}))
    (tmp_path / "weights.bin").write_bytes(b"1")
    path = tmp_path / "model.py"
    path.write_text("one")
    return path


@pytest.fixture
def exporter(model: Path, monkeypatch: pytest.MonkeyPatch) -> Exporter:
    exporter = Exporter(model, model.with_name("weights.bin"))
    monkeypatch.setattr(driving, "export", exporter)
    return exporter


def torch(tmp_path: Path) -> TorchInfo:
    site = tmp_path / "site-packages"
    site.mkdir(exist_ok=True)
    return TorchInfo(
        root=site / "torch",
        version="2.13.0",
        variant=Backend.CPU,
        source="test",
        python=tmp_path / "python",
        site_packages=site,
        lib_dirs=(site / "torch" / "lib",),
        cuda=None,
        hip=None,
        cxx11_abi=True,
        include_dirs=(),
        python_version="3.11",
    )


def export(model: Path, *, force: bool = False, variant: Backend = Backend.CPU, **options: Any) -> ExportReport:
    request = ExportRequest(model, "model", Path("mlp.pt2"), **options)
    return kept.export_once(request, replace(torch(model.parent), variant=variant), Reporter(), force=force)


def test_the_same_contents_are_exported_once(model: Path, exporter: Exporter) -> None:
    first, second = export(model), export(model)
    assert exporter.calls == 1
    assert first.output == second.output
    assert second.output.read_text() == "one"
    assert second.output.name == "mlp.pt2"
    assert second.notes == ("careful",)


@pytest.mark.parametrize("changed", ["model.py", "weights.bin"])
def test_whatever_was_read_counts(model: Path, exporter: Exporter, changed: str) -> None:
    before = export(model).output
    (model.parent / changed).write_text("two")
    after = export(model).output
    assert exporter.calls == 2
    assert after != before
    assert not before.exists()  # nothing will ask for it again


def test_a_file_that_was_only_touched_changes_nothing(model: Path, exporter: Exporter) -> None:
    export(model)
    shutil.copy(model, model.with_name("copy"))
    model.with_name("copy").replace(model)
    export(model)
    assert exporter.calls == 1


def test_a_file_that_is_gone_counts(model: Path, exporter: Exporter) -> None:
    export(model)
    model.with_name("weights.bin").unlink()
    export(model)
    assert exporter.calls == 2


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_what_was_looked_for_in_vain_counts_once_it_is_there(
    model: Path, exporter: Exporter, make: Callable[[Path], None]
) -> None:
    exporter.files += (model.with_name("better"),)
    export(model)
    export(model)
    assert exporter.calls == 1
    make(model.with_name("better"))
    export(model)
    export(model)
    assert exporter.calls == 2


def test_a_file_more_in_a_folder_that_was_listed_counts(model: Path, exporter: Exporter) -> None:
    exporter.folders = (model.parent / "parts",)
    exporter.folders[0].mkdir()
    export(model)
    export(model)
    assert exporter.calls == 1
    (exporter.folders[0] / "1.bin").touch()
    export(model)
    assert exporter.calls == 2


def test_settings_that_were_asked_for_count(
    model: Path, exporter: Exporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exporter.settings = ("KIND", FOLDER)
    monkeypatch.delenv("KIND", raising=False)
    export(model)
    monkeypatch.setenv("OTHER", "1")
    export(model)
    assert exporter.calls == 1
    monkeypatch.setenv("KIND", "secret")
    export(model)
    assert exporter.calls == 2
    monkeypatch.chdir(tmp_path)
    export(model)
    assert exporter.calls == 3
    documents = [path.read_bytes() for path in (tmp_path / "cache").rglob("*.json")]
    assert documents
    assert not any(b"secret" in content for content in documents)


def test_other_options_are_another_package(model: Path, exporter: Exporter) -> None:
    assert export(model).output != export(model, options={"epilogue_fusion": False}).output
    assert exporter.calls == 2


def test_other_packages_in_the_environment_count(model: Path, exporter: Exporter) -> None:
    export(model)
    (model.parent / "site-packages" / "timm-1.0.dist-info").mkdir()
    export(model)
    assert exporter.calls == 2


def test_force_exports_in_any_case(model: Path, exporter: Exporter) -> None:
    export(model)
    export(model, force=True)
    assert exporter.calls == 2


def test_a_damaged_package_is_exported_again(model: Path, exporter: Exporter) -> None:
    export(model).output.write_text("other")
    assert export(model).output.read_text() == "one"
    assert exporter.calls == 2


def test_what_was_written_while_it_was_read_is_not_believed(
    model: Path, exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept.time, "time_ns", lambda: model.stat().st_mtime_ns - 1)
    export(model)
    export(model)
    assert exporter.calls == 2


def test_a_package_of_what_was_there_before_is_not_taken_for_another(
    model: Path, exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody saves the file while it is exported: the next export is of what was saved."""

    def export_while_it_is_edited(request: ExportRequest, *arguments: Any, **options: Any) -> ExportReport:
        report = exporter(request, *arguments, **options)
        model.write_text("two")
        return report

    monkeypatch.setattr(driving, "export", export_while_it_is_edited)
    assert export(model).output.read_text() == "one"
    monkeypatch.setattr(driving, "export", exporter)
    assert export(model).output.read_text() == "two"


def test_the_file_itself_counts_wherever_it_lies(model: Path, exporter: Exporter) -> None:
    exporter.files = ()
    export(model)
    model.write_text("two")
    assert export(model).output.read_text() == "two"


def test_a_version_that_was_installed_anew_counts(model: Path, exporter: Exporter) -> None:
    package = model.parent / "site-packages" / "mine-0.1.dist-info"
    package.mkdir(parents=True)
    (package / "RECORD").write_text("mine.py,sha256=1,1")
    export(model)
    (package / "RECORD").write_text("mine.py,sha256=2,1")
    export(model)
    assert exporter.calls == 2


@pytest.mark.parametrize("name", ["TORCHINDUCTOR_FREEZING", "CUDA_HOME", "ROCM_HOME", "ROCM_PATH"])
def test_settings_of_the_compiler_count(
    name: str, model: Path, exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(model)
    monkeypatch.setenv(name, "1")
    export(model)
    assert exporter.calls == 2


def test_another_toolkit_in_the_same_place_counts(
    model: Path, exporter: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = tmp_path / "rocm" / ".info" / "version"
    version.parent.mkdir(parents=True)
    monkeypatch.setenv("ROCM_PATH", str(tmp_path / "rocm"))
    for text in ("6.4.1", "7.0.2"):
        version.write_text(text)
        export(model, variant=Backend.ROCM)
    assert exporter.calls == 2
