"""The Python project of `aotpack new`: types, threads, asyncio, deployment, worker pools."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.bundles.embedding_projects import (
    assert_prints,
    assert_three_lines,
    deploy,
    in_empty_root,
    project,
    run,
    sample,
    two_models,
)


@pytest.fixture(scope="module")
def made(portable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project."""
    return project("python", tmp_path_factory.mktemp("python"), portable)


def interpreters() -> list[str]:
    """This Python, and the oldest one that is supported when the machine has it."""
    old = shutil.which("python3.8")
    works = old is not None and os.system(f"{old} -c pass >/dev/null 2>&1") == 0  # noqa: S605  (a shim may not)
    return [sys.executable, old] if old and works else [sys.executable]


@pytest.mark.parametrize("python", interpreters())
def test_its_own_tests_pass(python: str, made: Path) -> None:
    done = run(python, "-W", "error", "-m", "unittest", "discover", "tests", cwd=made)
    assert "OK" in done.stderr
    assert "skipped" not in done.stderr


def test_it_computes_what_eager_computes(made: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    assert_prints(run(sys.executable, "-m", "my_app", path, cwd=made, PYTHONPATH="src").stdout, expected)


def test_types_and_style_hold(made: Path) -> None:
    run(sys.executable, "-m", "ruff", "check", "--no-cache", ".", cwd=made)
    run(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", ".", cwd=made)
    run(sys.executable, "-m", "mypy", "--cache-dir", made.parent / "mypy", cwd=made)


def test_errors_are_three_lines_and_an_exit_code(made: Path, portable: Path, tmp_path: Path) -> None:
    path, _ = sample(portable, tmp_path)
    for arguments in ([path, path], ["/nonexistent.npy"], [made / "README.md"]):
        assert_three_lines(run(sys.executable, "-m", "my_app", *arguments, cwd=made, status=2, PYTHONPATH="src"))
    no_bundle = run(sys.executable, "-m", "my_app", path, cwd=made, status=2, PYTHONPATH="src", AOT_BUNDLE="/none")
    assert_three_lines(no_bundle)


def test_arrays_are_shared_and_threads_run_at_once(made: Path, portable: Path) -> None:
    """NumPy in and out without a copy; the interpreter lock is free while the model runs."""
    script = """
import sys, threading, time
import numpy as np
from my_app import Predictor

predictor = Predictor(concurrency=2)
x = np.ones((1024, 64), np.float32)
y = predictor.predict(x)
array = np.asarray(y)
assert array.ctypes.data == np.from_dlpack(y).ctypes.data == np.asarray(y).ctypes.data
del y
assert array.shape == (1024, 10)

# A thread that only counts gets on while another one is in the model.
ticks, stop = 0, False
def count():
    global ticks
    while not stop:
        ticks += 1
        time.sleep(0)
sys.setswitchinterval(1000)  # the interpreter would not hand the lock over by itself
thread = threading.Thread(target=count)
thread.start()
before = ticks
for _ in range(200):
    predictor.model(x)
seen = ticks - before
stop = True
thread.join()
assert seen > 0, "the model held the interpreter lock"
"""
    run(sys.executable, "-c", script, cwd=made, PYTHONPATH="src")


def test_the_deployed_folder_runs_on_the_bundle_s_own_interpreter(made: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    folder = deploy(made / "README.md", portable, tmp_path / "deployed")
    shutil.copytree(made / "src" / "my_app", folder / "my_app", ignore=shutil.ignore_patterns("__pycache__"))
    moved = folder.rename(tmp_path / "moved to here")
    assert_prints(run(sys.executable, "-m", "my_app", path, cwd=moved).stdout, expected)

    # The line that the project gives for a machine without Python, as it stands there.
    (line,) = (text for text in (made / "README.md").read_text().splitlines() if "bundle/python/bin/python3" in text)
    assert_prints(run("/bin/sh", "-c", line.replace("x.npy", str(path)), cwd=moved, PATH="/nowhere").stdout, expected)

    # The sandbox clears the environment, so the program puts its folder on the path itself.
    start = "import sys; sys.path.insert(0, '/bundle'); from my_app.__main__ import main; sys.exit(main(['/x.npy']))"
    text = in_empty_root(moved, "bundle/python/bin/python3", "-c", start, extra=[(path, "/x.npy")])
    assert_prints(text, expected)


def test_ray_workers_map_the_same_weights(made: Path, portable: Path, tmp_path: Path) -> None:
    """Opt-in: AOTPACK_RAY_PYTHON names an interpreter that has `ray[data]` and NumPy."""
    python = os.environ.get("AOTPACK_RAY_PYTHON")
    if python is None:
        pytest.skip("AOTPACK_RAY_PYTHON is not set: give a Python with ray[data] to test the Ray Data example")
    rows = np.random.default_rng(0).standard_normal((1000, 64)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    script = """
import os, sys, time
import numpy as np, ray
sys.path.insert(0, "examples")
import ray_data

class Witness(ray_data.Infer):
    def __call__(self, batch):
        outputs = super().__call__(batch)
        with open("/proc/self/maps") as maps:
            weights = {line.split()[4] for line in maps if "weights.blob" in line}
        rows = len(batch["data"])
        time.sleep(0.5)  # so that there is work left for the other worker
        return {**outputs, "pid": np.full(rows, os.getpid()), "inode": np.full(rows, int(weights.pop()))}

ray.init(num_cpus=2, include_dashboard=False)
ray_data.Infer = Witness
table = ray_data.infer(np.load(sys.argv[1]), workers=2, batch_size=100).to_pandas()
np.savez(sys.argv[2], y=np.stack(list(table["output0"])), pid=table["pid"], inode=table["inode"])
"""
    run(python, "-c", script, tmp_path / "rows.npy", tmp_path / "out.npz", cwd=made, PYTHONPATH="examples")
    with np.load(tmp_path / "out.npz") as out:
        assert len(set(out["pid"])) == 2, "two workers"
        assert len(set(out["inode"])) == 1, "one file of weights"
        program = "import sys, numpy as np; from my_app import Predictor; y = Predictor().predict(np.load(sys.argv[1]))"
        direct = (sys.executable, "-c", f"{program}; np.save(sys.argv[2], np.asarray(y))")
        run(*direct, tmp_path / "rows.npy", tmp_path / "direct.npy", cwd=made, PYTHONPATH="src")
        np.testing.assert_allclose(out["y"], np.load(tmp_path / "direct.npy"), rtol=1e-4, atol=1e-5)


def test_ray_serves_rows_in_batches(made: Path, portable: Path, tmp_path: Path) -> None:
    """Opt-in: AOTPACK_RAY_PYTHON names an interpreter that has `ray[serve]` and NumPy."""
    python = os.environ.get("AOTPACK_RAY_PYTHON")
    if python is None:
        pytest.skip("AOTPACK_RAY_PYTHON is not set: give a Python with ray[serve] to test the Ray Serve example")
    rows = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    script = """
import concurrent.futures, json, sys, urllib.request
import numpy as np, ray
from ray import serve
sys.path.insert(0, "examples")
import ray_serve

def ask(row):
    request = urllib.request.Request("http://127.0.0.1:8000/", json.dumps({"data": row.tolist()}).encode())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["output0"]

ray.init(num_cpus=2, include_dashboard=False)
serve.run(ray_serve.app)
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    np.save(sys.argv[2], np.array(list(pool.map(ask, np.load(sys.argv[1]))), np.float32))
serve.shutdown()
"""
    run(python, "-c", script, tmp_path / "rows.npy", tmp_path / "out.npy", cwd=made, PYTHONPATH="examples")
    program = "import sys, numpy as np; from my_app import Predictor; y = Predictor().predict(np.load(sys.argv[1]))"
    direct = (sys.executable, "-c", f"{program}; np.save(sys.argv[2], np.asarray(y))")
    run(*direct, tmp_path / "rows.npy", tmp_path / "direct.npy", cwd=made, PYTHONPATH="src")
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), np.load(tmp_path / "direct.npy"), rtol=1e-4, atol=1e-5)


def test_of_several_models_one_is_named(made: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    environment = {"AOT_BUNDLE": str(two_models(portable, tmp_path / "two")), "PYTHONPATH": "src"}
    done = run(sys.executable, "-m", "my_app", path, cwd=made, status=2, **environment)
    assert_three_lines(done)
    assert "first, second" in done.stderr
    named = run(sys.executable, "-m", "my_app", "--model", "second", path, cwd=made, **environment)
    assert_prints(named.stdout, expected)
    tests = (sys.executable, "-W", "error", "-m", "unittest", "discover", "tests")
    run(*tests, cwd=made, **environment, AOT_MODEL="second")


def test_the_command_line_says_how_it_is_used(made: Path) -> None:
    for arguments, status in ((["--help"], 0), ([], 2), (["--model"], 2), (["--what", "x.npy"], 2)):
        done = run(sys.executable, "-m", "my_app", *arguments, cwd=made, status=status, PYTHONPATH="src")
        assert done.stderr.startswith("usage: python -m my_app ")
