"""`import aotrun` in a program of the user's own, beside NumPy and torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles.bridge_client import unpack
from tests.support.machines.pythons import other_pythons
from tests.support.packages.exporting import SUPPORT

SCRIPT = Path(__file__).with_name("runner_library.py")

#: What each mistake is answered with.
ERRORS = {
    "missing": "0 inputs",
    "extra": "2 inputs",
    "misnamed": "no input z; missing x",
    "twice": "x given twice",
    "short list": "[1]",
    "text": "input x is a str",
    "dtype": "float64",
    "shape": "[8, 3]",
    "rank": "[64]",
    "range": "[0, 64]",
    "byte order": ">f4",
    "objects": "|O",
    "odd strides": "strides",
    "grad": "require gradient",
    "read-only": "input state is read-only",
    "negated": "lazily conjugated or negated",
    "masked": "masked array",
    "zeros without memory": "has no data",
    "no capsule": "input x: ",
    "used capsule": "input x: ",
    "raising": "absent",
    "no bundle": "no bundle and no model folder",
    "no file": "no such file",
    "no model": "no model 'nope'",
    "device": "tpu",
    "closed": "is closed",
}


@pytest.fixture(scope="module")
def seen(
    portable: Path, backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the script saw."""
    silent = unpack(exported("inplace"), tmp_path_factory.mktemp("silent") / "model")
    document = json.loads((silent / "model.json").read_text())
    for spec in document["inputs"]:
        del spec["mutated"]
    (silent / "model.json").write_text(json.dumps(document))
    done = subprocess.run(
        [backend_venv / "bin" / "python", "-B", SCRIPT, portable, exported("inplace"), silent],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def test_takes_any_array(seen: dict[str, Any]) -> None:
    assert len(seen["agree"]) == 12
    assert all(seen["agree"].values()), seen["agree"]
    assert "x: float32[batch:1..1024, 64]" in seen["repr"]


def test_what_the_memory_does_not_show(seen: dict[str, Any]) -> None:
    assert all(seen["lazy"].values()), seen["lazy"]


def test_helpers_sleep_through_small_products(portable: Path) -> None:
    """They are there once the model is loaded. One that takes part goes to sleep again, which the kernel counts."""
    program = (
        "import os, sys, time\n"
        f"sys.path.insert(0, {str(portable / 'runner')!r})\n"
        "import aotrun, numpy\n"
        "before = set(os.listdir('/proc/self/task'))\n"
        f"model = aotrun.load({str(portable)!r}, threads=2)\n"
        "model(numpy.ones((8, 64), numpy.float32))\n"
        "helpers = set(os.listdir('/proc/self/task')) - before\n"
        "def switches():\n"
        "    texts = [open(f'/proc/self/task/{helper}/status').read() for helper in helpers]\n"
        "    return sum(int(text.rpartition('voluntary_ctxt_switches:')[2]) for text in texts) + sum(\n"
        "        int(text.partition('\\nvoluntary_ctxt_switches:')[2].split()[0]) for text in texts)\n"
        "time.sleep(1)\n"  # a helper stays awake for a moment
        "for rows in 8, 1024:\n"
        "    seen = switches()\n"
        "    for _ in range(10):\n"
        "        model(numpy.ones((rows, 64), numpy.float32))\n"
        "        time.sleep(0.05)\n"
        "    print(len(helpers), switches() > seen)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    # Inductor divides by the cores of its machine.
    expected = "1 False\n1 True\n" if (os.cpu_count() or 1) > 1 else "1 False\n1 False\n"
    assert (done.stdout, done.stderr) == (expected, "")


def test_runs_inside_a_parallel_region_of_the_caller(portable: Path, tmp_path: Path) -> None:
    # Where work is shared among all threads that are there, the caller's are not to be taken for the model's.
    region = tmp_path / "inside.so"
    source = SUPPORT / "inside_region.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-fopenmp", source, "-o", region], check=True)
    program = (
        "import ctypes, sys\n"
        f"sys.path.insert(0, {str(portable / 'runner')!r})\n"
        "import aotrun, numpy\n"
        f"model = aotrun.load({str(portable)!r}, threads=2)\n"
        f"inside = ctypes.CDLL({str(region)!r}).call_inside\n"
        "for rows in 8, 1024:\n"
        "    given = numpy.linspace(-1, 1, rows * 64, dtype=numpy.float32).reshape(rows, 64)\n"
        "    expected = numpy.array(model(given))\n"
        "    outputs = []\n"
        "    call = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: outputs.append(numpy.array(model(given))) or 0)\n"
        "    for _ in range(20): inside(call)\n"
        "    assert len(outputs) == 20\n"
        "    assert all(numpy.array_equal(output, expected) for output in outputs), rows\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_borrows_inputs_and_shares_outputs(seen: dict[str, Any]) -> None:
    assert seen["borrowed"] == [True, True, True]
    assert seen["addresses"] == 1
    assert all(seen["alive"])
    assert (seen["held by consumers"], seen["held by nobody"]) == (1, 0)


def test_writes_in_place_as_python_does(seen: dict[str, Any]) -> None:
    found = seen["in place"]
    assert found.pop("says") == [True, False, None, None, None]
    both, output = [[2.0] * 4, [2.0] * 4], [[2.0] * 4, [1.0] * 4]
    assert found == {
        "numpy": both,
        "torch": both,
        "strided": both,
        "silent, read-only": output,
        "silent, bytes": output,
        "silent, read-only, strided": output,
    }


def test_tells_about_outputs(seen: dict[str, Any]) -> None:
    assert seen["facts"] == [[8, 10], "float32", [10, 1], "cpu", 320]
    assert seen["list"]
    assert seen["result"] == [["output0"], True, True]


def test_many_threads(seen: dict[str, Any]) -> None:
    assert seen["raised"] == []
    assert seen["threads"] == [1600, False]


@pytest.mark.parametrize("mistake", ERRORS)
def test_mistakes(seen: dict[str, Any], mistake: str) -> None:
    kind, text = seen["errors"][mistake]
    assert kind == "UsageError"
    assert ERRORS[mistake] in text
    assert len(text.splitlines()) == 3


USES = """
import array, sys
sys.path.insert(0, sys.argv[1] + "/runner")
import aotrun
model = aotrun.load(sys.argv[1])
x = memoryview(array.array("f", [0.5] * 64)).cast("B").cast("f", (1, 64))
y = model(x)
assert len(y.tolist()[0]) == 10
if sys.version_info >= (3, 12):
    view = memoryview(y)
    assert (view.shape, view.format, view.tolist()) == ((1, 10), "f", y.tolist())
    del y
    assert view[0, 9] == model(x).tolist()[0][9]
"""


#: The oldest and the newest here.
OTHER_PYTHONS = list(dict.fromkeys((*other_pythons()[:1], *other_pythons()[-1:])))


@pytest.mark.parametrize("python", OTHER_PYTHONS or [None], ids=str)
def test_other_pythons_without_numpy(portable: Path, python: Path | None) -> None:
    if python is None:
        pytest.skip("NOT TESTED: no other Python 3.8 or newer is in PATH, /usr/bin or ~/.pyenv")
    environment = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, "-c", USES, portable], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
