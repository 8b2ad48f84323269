"""Every architecture of the zoo: exported for the slim runtime, bundled, held against eager and timed against libtorch.

`make test-zoo` runs it; `python tests/conformance/report.py` then writes the table of docs/slim.md from the results.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = ROOT / ".cache" / "zoo"

#: Slower than this against the full runtime, and a model is a finding.
SLOWEST = 1.3


def names() -> list[str]:
    """The functions of zoo.py that are models, without importing it: torch is not here."""
    tree = ast.parse((HERE / "zoo.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [f.name for f in functions if any(isinstance(d, ast.Name) and d.id == "model" for d in f.decorator_list)]


def aotpack(*arguments: str | Path, **environment: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "toolchain"), **environment}
    command = [sys.executable, "-m", "aotpack", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def aotrun(bundle: Path, *arguments: str) -> dict[str, Any]:
    command = [bundle / "bin" / "aotrun", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def time_of(bundle: Path, name: str) -> float:
    return float(aotrun(bundle, "bench", "--model", name, "--threads", "1", "--iterations", "20")["median_ms"])


@pytest.mark.zoo
@pytest.mark.parametrize("name", names())
def test_a_model_runs_slim_as_eager_does(name: str, zoo_packages: Path, tmp_path: Path) -> None:
    package = RESULTS / f"{name}.pt2"
    if not package.exists() or package.stat().st_mtime < (HERE / "zoo.py").stat().st_mtime:
        RESULTS.mkdir(parents=True, exist_ok=True)
        where = {"AOTPACK_ZOO_PACKAGES": str(zoo_packages)}
        aotpack("export", f"{HERE / 'zoo.py'}:{name}", "--output", package, "--profile", "slim", **where)
    slim, full = tmp_path / "slim", tmp_path / "full"
    model = f"{name}={package}"
    aotpack("build", "--backend", "cpu", "--model", model, "--portable", "--runtime", "slim", "--output", slim)
    aotpack("build", "--backend", "cpu", "--model", model, "--runtime", "full", "--output", full)
    details = [check["detail"] for check in aotrun(slim, "check", "--model", name)["checks"]]
    (error,) = [float(match[1]) for detail in details if (match := re.search(r"largest error ([\d.e+-]+)", detail))]
    # Turn by turn, and the best of three: other work on the machine hits both.
    times = [(time_of(slim, name), time_of(full, name)) for _ in range(3)]
    slim_ms, full_ms = min(t for t, _ in times), min(t for _, t in times)
    result = {
        "name": name,
        "onednn": (slim / "lib" / "libaot_slim_dnnl.so").exists(),
        "error": error,
        "weights": size(slim / "models"),
        "bundle": size(slim),
        "slim_ms": slim_ms,
        "full_ms": full_ms,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(result))
    assert slim_ms <= SLOWEST * full_ms
