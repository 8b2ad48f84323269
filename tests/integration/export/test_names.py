"""Names of functions and modules with a mistake in them: what was meant is told in the form in which it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.errors import UsageError
from aotpack.exporting.driving import ExportRequest, export
from tests.support.packages import export_workers
from tests.support.packages.exporting import Silent

SOURCE = """
def decode(): ...
def encode(): ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "zoo_of_names" / "text"
    package.mkdir(parents=True)
    for each in (package.parent, package):
        (each / "__init__.py").touch()
    (package / "models.py").write_text(SOURCE)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "function", "lines"),
    [
        (
            "zoo_of_names.text.models",
            "encod",
            (
                "zoo_of_names.text.models: there is no function 'encod'",
                "it defines decode, encode",
                "aotpack export zoo_of_names.text.models:encode ...",
            ),
        ),
        (
            "zoo_of_names.text.model",
            "encode",
            (
                "zoo_of_names.text.model: no module 'model' in zoo_of_names.text",
                "zoo_of_names.text has models",
                "did you mean zoo_of_names.text.models?",
            ),
        ),
        (
            "zoo_of_names.sound.models",
            "encode",
            (
                "zoo_of_names.sound.models: no module 'sound' in zoo_of_names",
                "zoo_of_names has text",
                "name a module of it, or its file: FILE.py:FUNCTION",
            ),
        ),
        (
            "zoo_of_names.text.models.deep",
            "encode",
            (
                "zoo_of_names.text.models.deep: no module 'deep' in zoo_of_names.text.models",
                "zoo_of_names.text.models has no modules",
                "name a module of it, or its file: FILE.py:FUNCTION",
            ),
        ),
    ],
)
def test_what_was_meant(
    backend_python: Path, folder: Path, module: str, function: str, lines: tuple[str, str, str]
) -> None:
    request = ExportRequest(None, function, folder / "none.pt2", module=module, folder=folder)
    with pytest.raises(UsageError) as caught:
        export(request, backend_python, Silent(), begin=export_workers.forked)
    assert (caught.value.what, caught.value.meaning, caught.value.fix) == lines
