"""The notebook of examples/, as Jupyter runs it: with torch and aotpack in one kernel."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.machines.notebook_python import PATHS
from tests.support.packages.exporting import EXAMPLES


@pytest.fixture
def kernel(tmp_path: Path, backend_python: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kernel in the backend's environment, which has ipykernel and aotpack from this one."""
    folder = tmp_path / "jupyter" / "kernels" / "both"
    folder.mkdir(parents=True)
    start = f"{PATHS}\nfrom ipykernel.kernelapp import launch_new_instance; launch_new_instance()"
    spec = {"argv": [str(backend_python), "-c", start, "-f", "{connection_file}"], "display_name": "both"}
    (folder / "kernel.json").write_text(json.dumps({**spec, "language": "python"}))
    for name in ("JUPYTER_PATH", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    return "both"


def text_of(cell: nbformat.NotebookNode) -> str:
    shown = [output.get("data", {}).get("text/plain", output.get("text", "")) for output in cell.outputs]
    return "\n".join(shown)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning")
def test_every_cell_runs_and_says_what_it_promises(kernel: str, tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    work = tmp_path / "work"
    work.mkdir()
    NotebookClient(notebook, timeout=600, kernel_name=kernel, resources={"metadata": {"path": str(work)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    exported, built, used, refused = cells[2:]
    assert "TensorSpec(name='points', dtype='float32'" in text_of(exported)
    assert any("verifying against eager PyTorch" in output.data.get("text/html", "") for output in exported.outputs)
    assert "'assets': 15" in text_of(built)
    assert text_of(used) == "['top', 'left', 'right']"
    assert 'input "points" has 3' in text_of(refused)
    assert (work / "dist" / "points" / "bin" / "aotrun").is_file()
