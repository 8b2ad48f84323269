"""The Rust project of `aotpack new`: formatting, lints, tests, the command line, deployment."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.bundles.bridge_client import unpack
from tests.support.bundles.embedding_projects import (
    ROOT,
    SHOWN,
    assert_three_lines,
    deploy,
    in_empty_root,
    needs,
    project,
    run,
    runpath,
    sample,
    two_models,
)
from tests.support.packages.exporting import cached_export

TEMPLATE = ROOT / "templates" / "consumers" / "rust"
SOURCES = Path(__file__).parent


@pytest.fixture(scope="module")
def made(portable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, tested and built, with `--offline`: it has no dependency to fetch."""
    needs("cargo")
    folder = project("rust", tmp_path_factory.mktemp("rust"), portable)
    run("cargo", "build", "--offline", "--locked", cwd=folder)
    return folder


@pytest.fixture
def program(made: Path) -> Path:
    """Its command line."""
    return made / "target" / "debug" / "my-app"


def test_unsafe_code_is_in_one_module() -> None:
    users = [path.name for path in sorted(TEMPLATE.rglob("*.rs")) if re.search(r"\bunsafe\b[^_]", _code(path))]
    assert users == ["ffi.rs"]


def _code(path: Path) -> str:
    """The file without its comments."""
    return re.sub(r"//.*", "", path.read_text(encoding="utf-8"))


def test_it_needs_no_crate() -> None:
    assert "[dependencies]" not in (TEMPLATE / "Cargo.toml").read_text()
    assert (TEMPLATE / "Cargo.lock").read_text().count("[[package]]") == 1


def test_formatting_and_lints(made: Path) -> None:
    run("cargo", "fmt", "--check", cwd=made)
    run("cargo", "clippy", "--offline", "--all-targets", "--", "--deny", "warnings", cwd=made)


def test_cargo_test_passes(made: Path) -> None:
    done = run("cargo", "test", "--offline", cwd=made)
    assert "0 failed" in done.stdout


def test_infer_computes_what_eager_computes(program: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    done = run(program, "infer", "--input", f"x={path}", "--format", "json", "--output", tmp_path / "out")
    document = json.loads(done.stdout)
    data = document["outputs"]["output0"]["data"]
    np.testing.assert_allclose(data[:SHOWN], expected, rtol=1e-4, atol=1e-5)
    assert document["memory_bytes"] > 0
    written = np.load(tmp_path / "out" / "output0.npy")
    assert list(written.shape) == document["outputs"]["output0"]["shape"]
    np.testing.assert_allclose(written.ravel(), data, rtol=1e-6)


def test_json_in_and_pretty_out(program: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    array = np.load(path)
    document = {"data": array.tolist(), "shape": list(array.shape), "dtype": "float32"}
    (tmp_path / "x.json").write_text(json.dumps(document))
    text = run(program, "infer", "--input", tmp_path / "x.json").stdout
    numbers = text.split(" = ")[1].split(", ...")[0].split(", ")
    np.testing.assert_allclose([float(number) for number in numbers], expected, rtol=1e-4, atol=1e-5)


def test_check_reports_device_build_model_and_inference(program: Path, portable: Path, tmp_path: Path) -> None:
    alone = json.loads(run(program, "--check", "--format", "json").stdout)
    assert alone["ok"] is True
    assert alone["device"]["device"] == "cpu"
    assert "api_version" in alone["build"]
    assert "model" not in alone

    path, expected = sample(portable, tmp_path)
    done = run(program, "--check", "--model", "mlp", "--input", path, "--format", "json")
    full = json.loads(done.stdout)
    assert full["model"]["metadata"]["device"] == "cpu"
    assert full["model"]["inputs"] == ["x: float32[batch in 1..1024, 64]"]
    data = full["inference"]["outputs"]["output0"]["data"]
    np.testing.assert_allclose(data[:SHOWN], expected, rtol=1e-4, atol=1e-5)
    assert run(program, "--check", "--zeros").stdout.endswith("ok: true\n")


def test_a_check_that_fails_says_so_and_exits_with_its_class(program: Path) -> None:
    done = run(program, "--check", "--device", "cuda", "--format", "json", status=5)  # a CPU bundle
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert done.stderr.strip() == f"error: {document['error']}"
    assert_three_lines(done)


@pytest.mark.parametrize("package_says", [True, False])
def test_immutable_memory_is_never_written_to(
    package_says: bool, made: Path, exported: Callable[..., Path], tmp_path: Path
) -> None:
    """`infer` leaves memory as it is, `infer_mut` changes it as Python would, also when the package says nothing."""
    model = unpack(exported("inplace"), tmp_path / "model")
    document = json.loads((model / "model.json").read_text())
    if not package_says:
        for spec in document["inputs"]:
            del spec["mutated"]
        (model / "model.json").write_text(json.dumps(document))
    example = made / "examples" / "in_place.rs"
    example.parent.mkdir(exist_ok=True)
    example.write_text((SOURCES / "in_place.rs").read_text().replace("aot_app", "my_app"))
    done = run("cargo", "run", "--quiet", "--offline", "--example", "in_place", model, cwd=made)
    assert done.stdout.splitlines() == [
        f"mutated: {'[Some(true), Some(false)]' if package_says else '[None, None]'}",
        "infer: [2.0, 2.0, 2.0, 2.0] [1.0, 1.0, 1.0, 1.0] [1.0, 1.0, 1.0, 1.0]",
        "of zeros: [1.0, 1.0, 1.0, 1.0]",
        "infer_mut: [3.0, 3.0, 3.0, 3.0] [1.0, 1.0, 1.0, 1.0]",
        "of a static: [2.0, 2.0, 2.0, 2.0] [1.0, 1.0, 1.0, 1.0]",
        "of an output: [3.0, 3.0, 3.0, 3.0] [3.0, 3.0, 3.0, 3.0]",
        "a constant: [0.0, 1.0, 2.0, 3.0] [0.0, 1.0, 2.0, 3.0]",
        "wrong: 2",
        "too few: 2",
    ]


def test_sessions_and_variants(made: Path, backend_venv: Path, exported: Callable[..., Path], tmp_path: Path) -> None:
    """A running total: each session has its own, which outlives its model and goes from one to the other."""
    total = unpack(cached_export(backend_venv, SOURCES / "running_total.py"), tmp_path / "total")
    several = exported("mlp", cpu_isa="baseline,avx2,avx512")
    (made / "examples").mkdir(exist_ok=True)
    source = (SOURCES / "sessions.rs").read_text().replace("aot_app", "my_app")
    (made / "examples" / "sessions.rs").write_text(source)
    done = run("cargo", "run", "--quiet", "--offline", "--example", "sessions", total, several, cwd=made)
    assert done.stdout.splitlines() == [
        "two sessions: 1 2 1",
        "a copy: 3 3",
        "restored: 2 after a reset: 1",
        "at once: 100 100 100 100",
        "in place: 3",
        "no state: 2",
        'variants: "" "baseline" "avx2"',
        "no such variant: 2",
    ]


def test_assets(made: Path) -> None:
    """Files that travel with the model, and names that are none of theirs."""
    (made / "examples").mkdir(exist_ok=True)
    source = (SOURCES / "assets.rs").read_text().replace("aot_app", "my_app")
    (made / "examples" / "assets.rs").write_text(source)
    done = run("cargo", "run", "--quiet", "--offline", "--example", "assets", cwd=made)
    assert done.stdout.splitlines() == [
        r'"hello\n"',
        "empty: 0",
        '"none.txt": 2',
        '"texts": 2',
        '"../bundle.json": 2',
        '"/etc/passwd": 2',
        '"": 2',
        r'"a\0b": 2',
    ]


def test_what_it_declares_is_of_the_version_that_it_asks_for() -> None:
    """A bundle of an older version is refused by build.rs, not by the linker."""
    header = (ROOT / "bridge" / "include" / "aot_bridge.h").read_text()
    wanted = re.findall(r"^ {4}fn (aot_\w+)", (TEMPLATE / "src" / "ffi.rs").read_text(), re.MULTILINE)
    first = {}
    for number in range(1, 1 + int(re.findall(r"#define AOT_API_VERSION (\d+)", header)[0])):
        older = (SOURCES / "abi" / str(number) / "aot_bridge.h").read_text()
        for name in re.findall(r"^AOT_API [^(]*\b(aot_\w+)\(", older, re.MULTILINE):
            first.setdefault(name, number)
    needs = re.search(r"API_VERSION: u32 = (\d+);", (TEMPLATE / "build.rs").read_text())
    assert needs
    assert int(needs[1]) == max(first[name] for name in wanted)


def test_an_older_bundle_is_told_at_build_time(made: Path, portable: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my-app"
    shutil.copytree(made, folder, symlinks=True, ignore=shutil.ignore_patterns("target", "bundle"))
    for name in ("lib", "include"):
        (folder / "bundle" / name).mkdir(parents=True)
    (folder / "bundle" / "lib" / "libaot_bridge.so").symlink_to(portable / "lib" / "libaot_bridge.so")
    shutil.copy(SOURCES / "abi" / "1" / "aot_bridge.h", folder / "bundle" / "include")
    done = run("cargo", "build", "--offline", cwd=folder, status=101)
    assert "has version 1" in done.stderr
    assert "build it again" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["infer", "--input", "/nonexistent.npy"],
        ["infer", "--model", "other"],
        ["infer", "--input", "y={input}"],
        ["infer", "--input", "{input}", "--input", "{input}"],
        ["infer", "--device", "gpu"],
        ["serve"],
    ],
)
def test_errors_are_three_lines_and_an_exit_code(
    arguments: list[str], program: Path, portable: Path, tmp_path: Path
) -> None:
    path, _ = sample(portable, tmp_path)
    filled = [argument.format(input=path) for argument in arguments]
    assert_three_lines(run(program, *filled, status=2))


def test_the_deployed_folder_moves_and_runs_in_an_empty_root(program: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    moved = deploy(program, portable, tmp_path / "first").rename(tmp_path / "moved to here")
    assert all(folder.startswith("$ORIGIN/") for folder in runpath(moved / "my-app"))
    texts = (
        run(moved / "my-app", "infer", "--input", path, "--format", "json", cwd=tmp_path).stdout,
        in_empty_root(moved, "my-app", "infer", "--input", "/x.npy", "--format", "json", extra=[(path, "/x.npy")]),
    )
    for text in texts:
        data = json.loads(text)["outputs"]["output0"]["data"]
        np.testing.assert_allclose(data[:SHOWN], expected, rtol=1e-4, atol=1e-5)


def test_a_project_without_a_bundle_says_what_to_do(tmp_path: Path, portable: Path) -> None:
    needs("cargo")
    folder = project("rust", tmp_path, portable)
    (folder / "bundle").unlink()
    done = run("cargo", "build", "--offline", cwd=folder, status=101)
    assert "ln -s" in done.stderr


def test_of_several_models_one_is_named(made: Path, program: Path, portable: Path, tmp_path: Path) -> None:
    path, _ = sample(portable, tmp_path)
    bundle = str(two_models(portable, tmp_path / "two"))
    done = run(program, "infer", "--input", path, status=2, AOT_BUNDLE=bundle)
    assert_three_lines(done)
    assert "holds first, second" in done.stderr
    run(program, "infer", "--model", "second", "--input", path, AOT_BUNDLE=bundle)
    done = run("cargo", "test", "--offline", "--test", "model", cwd=made, AOT_BUNDLE=bundle, AOT_MODEL="second")
    assert "0 failed" in done.stdout
