"""`aotrun` of a real bundle: files in and out, every command, every mistake."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.progress.reporter import Reporter
from aotpack.tools.sandbox import INSIDE
from tests.support.machines import isolation


@pytest.fixture(scope="module")
def both(backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A development bundle with two models: the MLP, and one with nested inputs and many dtypes."""
    output = tmp_path_factory.mktemp("both") / "bundle"
    models = (("mlp", exported("mlp")), ("multi", exported("multi")))
    build(
        BuildRequest(backend=Backend.CPU, output=output, models=models, runtime="full", venv=backend_venv), Reporter()
    )
    return output


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The working directory, with `x.npy` in it; returns x."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).standard_normal((8, 64), dtype=np.float32)
    np.save("x.npy", x)
    return x


def aotrun(bundle: Path, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [str(bundle / "bin" / "aotrun"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON document on standard output."""
    assert done.returncode == 0, done.stderr
    parsed = json.loads(done.stdout)
    assert isinstance(parsed, dict)
    assert parsed["schema"] == 1
    return parsed


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 3, done.stderr
    for word in words:
        assert word in done.stderr


def outputs_of(bundle: Path, *words: str | Path) -> Any:
    done = aotrun(bundle, "infer", *words, "--output", "y.npy")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return np.load("y.npy")


def test_every_form_of_the_same_input_and_output(portable: Path, inputs: Any) -> None:
    y = outputs_of(portable, "--input", "x.npy")
    assert (y.shape, y.dtype) == ((8, 10), np.float32)
    np.savez("x.npz", x=inputs)
    np.savez_compressed("nameless.npz", inputs)
    np.save("fortran.npy", np.asfortranarray(inputs))
    np.save("big.npy", inputs.astype(">f4"))
    form = {"data": inputs.ravel().tolist(), "shape": [8, 64], "dtype": "float32"}
    Path("x.json").write_text(json.dumps(form))
    Path("nested.json").write_text(json.dumps({"x": {"data": inputs.tolist(), "dtype": "float32"}}))
    for file in ("x=x.npy", "x.npz", "nameless.npz", "fortran.npy", "big.npy", "x.json", "nested.json"):
        assert np.array_equal(outputs_of(portable, "--input", file), y), file
    assert np.array_equal(outputs_of(portable, "--model", "mlp", "--threads", "1", "--input", "x.npy"), y)

    assert aotrun(portable, "infer", "--input", "x.npy", "--output", "y.npz").returncode == 0
    assert np.array_equal(np.load("y.npz")["output0"], y)
    assert aotrun(portable, "infer", "--input", "x.npy", "--output", "y.json").returncode == 0
    written = json.loads(Path("y.json").read_text())
    printed = document(aotrun(portable, "infer", "--input", "x.npy"))["outputs"]["output0"]
    assert written == printed
    assert np.array_equal(np.array(written["data"], "f4").reshape(written["shape"]), y)


def test_standard_input(portable: Path, inputs: Any) -> None:
    stream = io.BytesIO()
    np.save(stream, inputs)
    done = subprocess.run(
        [portable / "bin" / "aotrun", "infer", "--input", "-"], input=stream.getvalue(), capture_output=True, check=True
    )
    assert json.loads(done.stdout)["outputs"]["output0"]["shape"] == [8, 10]


def test_pretty(portable: Path, inputs: Any) -> None:
    done = aotrun(portable, "infer", "--input", "x.npy", "--format", "pretty", "-q")
    assert done.returncode == 0
    assert done.stdout.startswith("output0: float32[8, 10]  min ")
    assert done.stderr == ""


def test_many_inputs_outputs_and_dtypes(both: Path, inputs: Any) -> None:
    sample = np.load(both / "models" / "multi" / "sample.npz")
    given = {name.removeprefix("in."): array for name, array in sample.items() if name.startswith("in.")}
    expected = {name.removeprefix("out."): array for name, array in sample.items() if name.startswith("out.")}
    assert len(given) == 5
    np.savez("named.npz", **given)
    order = [entry["name"] for entry in document(aotrun(both, "info", "--json"))["models"]["multi"]["inputs"]]
    np.savez("ordered.npz", *[given[name] for name in order])
    words: list[str] = []
    for name, array in given.items():
        np.save(f"{name}.npy", array)
        words += ["--input", f"{name}={name}.npy"]
    for way in (["--input", "named.npz"], ["--input", "ordered.npz"], words):
        done = aotrun(both, "infer", "--model", "multi", *way, "--output", "y.npz")
        assert done.returncode == 0, done.stderr
        got = np.load("y.npz")
        assert list(got) == list(expected)
        for name, array in expected.items():
            if got[name].dtype == np.dtype("V2"):  # bfloat16; the sample holds its bits
                assert np.array_equal(got[name].view("u2"), array)
            else:
                assert got[name].dtype == array.dtype, name
                np.testing.assert_allclose(got[name], array, rtol=2e-3)
    printed = document(aotrun(both, "infer", "--model", "multi", "--input", "named.npz"))["outputs"]
    assert document(aotrun(both, "check", "--model", "multi", "--json"))["ok"]
    assert {output["dtype"] for output in printed.values()} >= {"bfloat16", "bool", "complex64", "float16", "int32"}


def test_which_model(both: Path, inputs: Any) -> None:
    assert outputs_of(both, "--model", "mlp", "--input", "x.npy").shape == (8, 10)
    refused(aotrun(both, "infer", "--input", "x.npy"), 2, "which model?", "mlp, multi")
    refused(aotrun(both, "infer", "--model", "nope", "--input", "x.npy"), 2, "nope", "mlp, multi")
    refused(aotrun(both, "infer", "--model", "nope.pt2", "--input", "x.npy"), 2, "nope.pt2")


def test_a_package_from_outside(both: Path, exported: Callable[..., Path], inputs: Any) -> None:
    package = exported("mlp")
    expected = outputs_of(both, "--model", "mlp", "--input", "x.npy")
    assert np.array_equal(outputs_of(both, "--model", package, "--input", "x.npy"), expected)
    assert document(aotrun(both, "check", "--model", package, "--json"))["ok"]
    models = document(aotrun(both, "info", "--model", package, "--json"))["models"]
    assert models[str(package)]["inputs"][0]["name"] == "x"
    Path("torn.pt2").write_bytes(package.read_bytes()[:5000])
    done = aotrun(both, "infer", "--model", "torn.pt2", "--input", "x.npy")
    assert done.returncode == 6
    assert len(done.stderr.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["missing x", "--input x=FILE"]),
        (["--input", "x.npy", "--input", "x.npy"], ["2 inputs", "takes x"]),
        (["--input", "z=x.npy"], ["no input z; missing x"]),
        (["--input", "gone.npy"], ["gone.npy: No such file"]),
        (["--input", "double.npy"], ["float64", "float32"]),
        (["--input", "rank.npy"], ["[64]"]),
        (["--input", "size.npy"], ["[8, 3]"]),
        (["--input", "empty.npy"], ["[0, 64]"]),
        (["--input", "many.npy"], ["[1025, 64]"]),
        (["--input", "pickled.npy"], ["pickled"]),
        (["--input", "torn.npy"], ["truncated"]),
        (["--input", "claims.npy"], ["truncated"]),
        (["--input", "text.txt"], ["text.txt"]),
        (["--input", "x.npy", "--output", "y.txt"], ["y.txt"]),
        (["--input", "x.npy", "--output", "gone/y.npy"], ["no folder gone"]),
        (["--input", "x.npy", "--device", "tpu"], ["tpu"]),
        (["--input", "x.npy", "--threads", "0"], ["--threads 0"]),
        (["--input", "x.npy", "--format", "xml"], ["--format xml"]),
        (["x.npy"], ["unknown argument x.npy"]),
    ],
)
def test_usage_errors(portable: Path, inputs: Any, words: list[str], expected: list[str]) -> None:
    np.save("double.npy", inputs.astype("f8"))
    np.save("rank.npy", inputs[0])
    np.save("size.npy", inputs[:, :3])
    np.save("empty.npy", inputs[:0])
    np.save("many.npy", np.zeros((1025, 64), "f4"))
    np.save("pickled.npy", np.array([None]), allow_pickle=True)
    content = Path("x.npy").read_bytes()
    Path("torn.npy").write_bytes(content[:-1])
    Path("claims.npy").write_bytes(content.replace(b"(8, 64), }" + b" " * 14, b"(8000000000000, 64), }  "))
    Path("text.txt").write_text("1 2 3")
    refused(aotrun(portable, "infer", *words), 2, *expected)
    assert not list(Path().glob("y*"))


def test_nan_is_allowed(portable: Path, inputs: Any) -> None:
    inputs[0, 0] = np.nan
    np.save("x.npy", inputs)
    y = outputs_of(portable, "--input", "x.npy")
    assert np.isnan(y[0]).all()
    assert np.isfinite(y[1:]).all()
    assert document(aotrun(portable, "infer", "--input", "x.npy"))["outputs"]["output0"]["data"][0] == "NaN"


def test_a_disk_that_is_full(portable: Path, inputs: Any) -> None:
    refused(aotrun(portable, "infer", "--input", "x.npy", "--output", "/dev/full"), 2, "/dev/full")
    # The kernel refuses a write beyond a limit as a full disk does, only in other words.
    done = aotrun(
        portable,
        *("infer", "--input", "x.npy", "--output", "y.npy"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    refused(done, 1, "y.npy", "too large")
    assert [path.name for path in Path().iterdir()] == ["x.npy"]


def test_a_link_in_the_outputs_place_is_replaced(portable: Path, inputs: Any) -> None:
    Path("precious.npy").write_text("precious")
    Path("y.npy").symlink_to("precious.npy")
    assert aotrun(portable, "infer", "--input", "x.npy", "--output", "y.npy").returncode == 0
    assert Path("precious.npy").read_text() == "precious"
    assert not Path("y.npy").is_symlink()


def test_a_fifo_for_a_description_is_damage(damaged: Path) -> None:
    (damaged / "bundle.json").unlink()
    os.mkfifo(damaged / "bundle.json")
    refused(aotrun(damaged, "info"), 6, "FIFO")


def test_check(portable: Path) -> None:
    report = document(aotrun(portable, "check", "--model", "mlp", "--json"))
    assert [check["name"] for check in report["checks"]] == ["files", "cpu", "device", "model"]
    assert report["ok"]
    lines = aotrun(portable, "check").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", "files"], ["ok", "cpu"], ["ok", "device"]]
    assert aotrun(portable, "check", "-q").stdout == ""


def test_check_of_a_gpu_that_is_not_there(portable: Path) -> None:
    done = aotrun(portable, "check", "--device", "cuda", "--json")
    assert done.returncode == 5
    report = json.loads(done.stdout)
    assert not report["ok"]
    assert [check["name"] for check in report["checks"] if not check["ok"]] == ["device"]


@pytest.fixture
def damaged(both: Path, tmp_path: Path) -> Path:
    """A copy to do harm to; its libraries are links."""
    return Path(shutil.copytree(both, tmp_path / "damaged", symlinks=True))


def test_check_finds_damage(damaged: Path) -> None:
    weights = damaged / "models" / "mlp" / "weights.blob"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    done = aotrun(damaged, "check")
    assert done.returncode == 6
    assert f"models/mlp/weights.blob has {len(content) - 1} bytes, not {len(content)}" in done.stderr
    weights.unlink()
    assert "models/mlp/weights.blob is missing" in aotrun(damaged, "check").stderr
    (damaged / "bundle.json").write_text("{")
    assert "bundle.json" in aotrun(damaged, "check").stderr


def test_check_finds_other_numbers(damaged: Path) -> None:
    folder = damaged / "models" / "mlp"
    sample = dict(np.load(folder / "sample.npz"))
    sample["out.output0"][3, 4] += 1
    (folder / "sample.npz").unlink()
    np.savez(folder / "sample.npz", **sample)
    done = aotrun(damaged, "check", "--model", "mlp", "--json")
    assert done.returncode in (1, 6)  # 6 when the file's size has changed as well
    failed = {check["name"]: check for check in json.loads(done.stdout)["checks"] if not check["ok"]}
    assert "output output0 has" in failed["model"]["detail"]


def test_missing_library(damaged: Path, tmp_path: Path) -> None:
    (damaged / "lib" / "libaot_bridge.so").unlink()
    refused(aotrun(damaged, "info"), 6, "libaot_bridge.so")


def test_info(both: Path) -> None:
    report = document(aotrun(both, "info", "--json"))
    assert set(report["models"]) == {"mlp", "multi"}
    assert report["bundle"]["backend"] == "cpu"
    assert report["bridge"]["api_version"] >= 1
    text = aotrun(both, "info", "--model", "mlp").stdout
    assert "input   x: float32[batch:1..1024, 64]" in text
    assert "multi" not in text


def test_bench(portable: Path, inputs: Any) -> None:
    words = ("bench", "--threads", "1", "--iterations", "20", "--warmup", "2")
    for source in ((), ("--input", "x.npy")):
        report = document(aotrun(portable, *words, *source, "--json"))
        assert report["threads"] == 1
        assert 0 < report["min_ms"] <= report["median_ms"] <= report["p90_ms"]
    assert "median" in aotrun(portable, *words).stdout


def test_reader_that_leaves(portable: Path, inputs: Any) -> None:
    np.save("many.npy", np.repeat(inputs, 100, axis=0))
    done = subprocess.run(
        ["sh", "-c", '"$1" infer --input many.npy | head -c 10', "sh", portable / "bin" / "aotrun"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == '{"schema":'
    assert done.stderr == ""


def test_where_nothing_can_be_written(portable: Path, inputs: Any, tmp_path: Path) -> None:
    box = isolation.empty_root()
    words = [f"{INSIDE}/bin/aotrun", "infer", "--input", "/x.npy"]
    done = subprocess.run(
        box.command(portable, words, [(tmp_path / "x.npy", "/x.npy")]), capture_output=True, text=True, check=False
    )
    assert document(done)["outputs"]["output0"]["shape"] == [8, 10]


def test_doctor_is_inside(portable: Path) -> None:
    done = aotrun(portable, "doctor", "--json")
    assert json.loads(done.stdout)["schema"] >= 1
