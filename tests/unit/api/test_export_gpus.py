"""The GPUs that are asked for reach the exporter, by whichever way they are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import aotpack
from aotpack import cli
from aotpack.api import exports
from aotpack.exporting import kept
from aotpack.exporting.driving import ExportReport, ExportRequest
from aotpack.exporting.sources import parse_source
from aotpack.package.metadata import ModelMetadata

ARCHS = ("sm_80", "sm_90")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[ExportRequest]:
    """What an exporter that does nothing was asked for."""
    seen: list[ExportRequest] = []

    def play(request: ExportRequest, *_args: Any, **_options: Any) -> ExportReport:
        seen.append(request)
        return ExportReport(request.output, ModelMetadata(), (), ())

    monkeypatch.setattr(exports, "_export_named", play)
    monkeypatch.setattr(exports, "_torch", lambda *_: None)
    monkeypatch.setattr(kept, "export_once", play)
    return seen


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "m.py").touch()
    return f"{tmp_path / 'm.py'}:model"


def test_in_python(model: str, tmp_path: Path, requests: list[ExportRequest]) -> None:
    aotpack.export(model, output=tmp_path / "m.pt2", device="cuda", archs=reversed(ARCHS))
    exports.export_once(parse_source(model), device="cuda", archs=ARCHS)
    aotpack.export(model, output=tmp_path / "m.pt2", device="cuda")
    assert [request.archs for request in requests] == [ARCHS, ARCHS, ()]


def test_on_the_command_line(model: str, tmp_path: Path, requests: list[ExportRequest]) -> None:
    output = tmp_path / "m.pt2"
    with pytest.raises((SystemExit, aotpack.AotpackError)):  # there is no package to tell of
        cli.main(["export", model, "--output", str(output), "--device", "cuda", "--arch", "sm_90, sm_80"])
    assert [request.archs for request in requests] == [ARCHS]
