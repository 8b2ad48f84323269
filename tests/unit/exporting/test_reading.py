"""Which files of the user's an export is said to follow from."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from aotpack.exporting.worker.reading import _OTHERS, Watch


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"1")
    return path


def test_what_is_opened_counts(weights: Path) -> None:
    watch = Watch()
    weights.read_bytes()
    files = watch.stop()
    assert str(weights) in files
    assert not [file for file in files if file.startswith(f"{sys.prefix}/lib/")]


def test_what_safetensors_opens_counts(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Played by a module whose class opens nothing that Python could hear of."""

    class SafeOpen:
        """Of the library."""

        def __init__(self, filename: object, framework: str) -> None:
            self.filename, self.framework = filename, framework

    module = ModuleType("safetensors")
    module.safe_open = SafeOpen  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "safetensors", module)
    watch = Watch()
    opened = module.safe_open(weights, framework="pt")
    assert (opened.filename, opened.framework) == (weights, "pt")
    assert isinstance(opened, module.safe_open)
    assert str(weights) in watch.stop()


@pytest.mark.parametrize("file", ["/opt/ml/code/model.py", "/usr/src/app/model.py", f"{sys.prefix}/src/mine/net.py"])
def test_where_people_have_their_own(file: str) -> None:
    assert not file.startswith(_OTHERS)
