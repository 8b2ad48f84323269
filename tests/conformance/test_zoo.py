"""Every architecture of the zoo: exported for the slim runtime, bundled, held against eager and against libtorch.

`make test-zoo` runs it; `python -m tests.conformance.report` then writes the table of docs/slim.md from the results.
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
from aotrun.arrays.closeness import compare, tolerances

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.native.slim import SlimBuild
from aotpack.package.model import read_model
from tests.conformance.turns import Bundle, least
from tests.support.bundles import sanitizing

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = ROOT / ".cache" / "zoo"

#: Slower than this against the full runtime, and a model is a finding.
SLOWEST = 1.3

#: Bytes of a package up to which its model runs under sanitizers too.
SMALL = 40_000_000

#: Turns of each bundle in which its calls are timed.
TURNS = 30


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


def exported(name: str, zoo_packages: Path) -> Path:
    """The model's package; exported once, until zoo.py changes."""
    package = RESULTS / f"{name}.pt2"
    if not package.exists() or package.stat().st_mtime < (HERE / "zoo.py").stat().st_mtime:
        RESULTS.mkdir(parents=True, exist_ok=True)
        where = {"AOTPACK_ZOO_PACKAGES": str(zoo_packages)}
        aotpack("export", f"{HERE / 'zoo.py'}:{name}", "--output", package, "--cpu-isa", "native", **where)
    return package


@pytest.mark.zoo
@pytest.mark.parametrize("name", names())
def test_a_model_runs_slim_as_eager_does(name: str, zoo_packages: Path, tmp_path: Path) -> None:
    package = exported(name, zoo_packages)
    slim, full = tmp_path / "slim", tmp_path / "full"
    model = f"{name}={package}"
    aotpack("build", "--backend", "cpu", "--model", model, "--portable", "--runtime", "slim", "--output", slim)
    aotpack("build", "--backend", "cpu", "--model", model, "--runtime", "full", "--output", full)
    details = [check["detail"] for check in aotrun(slim, "check", "--model", name)["checks"]]
    (error,) = [float(match[1]) for detail in details if (match := re.search(r"largest error ([\d.e+-]+)", detail))]
    result: dict[str, Any] = {
        "name": name,
        "error": error,
        "weights": size(slim / "models"),
        "bundle": size(slim),
    }
    layers = read_model(package).metadata.precision
    allowed = tolerances([{"precision": layer.precision, "count": layer.count} for layer in layers])
    for threads in (1, 2):
        with Bundle(slim, name, threads) as ours, Bundle(full, name, threads) as theirs:
            for (dtype, mine), (expected, wanted) in zip(ours.outputs(), theirs.outputs(), strict=True):
                assert (dtype, len(mine)) == (expected, len(wanted))
                assert compare(mine, wanted, allowed.get(dtype, 0.0))[1] is None
            result[f"ms_{threads}"] = least(ours, theirs, TURNS)
    (RESULTS / f"{name}.json").write_text(json.dumps(result))
    slower = {threads: ours / theirs for threads in (1, 2) for ours, theirs in [result[f"ms_{threads}"]]}
    assert max(slower.values()) <= SLOWEST, slower


@pytest.fixture(scope="module")
def sanitized() -> SlimBuild:
    return sanitizing.address_runtime(find_torch(Backend.CPU, venv=ROOT / ".venv"))


@pytest.mark.zoo
@pytest.mark.parametrize("name", names())
def test_a_model_under_sanitizers(name: str, zoo_packages: Path, sanitized: SlimBuild, tmp_path: Path) -> None:
    package = exported(name, zoo_packages)
    if package.stat().st_size > SMALL:
        pytest.skip(f"{package.stat().st_size / 1e6:.0f} MB")
    sanitizing.check(sanitizing.slim_bundle(tmp_path / "bundle", ROOT / ".venv", {name: package}, sanitized), name)
