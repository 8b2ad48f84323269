"""The C++ wrapper and the C++ project of `aotpack new`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundles.embedding_projects import (
    ROOT,
    assert_prints,
    assert_three_lines,
    deploy,
    in_empty_root,
    project,
    run,
    runpath,
    sample,
    two_models,
)
from tests.support.packages.exporting import cached_export

SOURCES = Path(__file__).parent
STRICT = [f"-W{name}" for name in ("all", "extra", "error", "pedantic", "conversion", "shadow", "cast-qual")]


@pytest.fixture(scope="module")
def made(portable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, built by CMake with every warning an error."""
    folder = project("cpp", tmp_path_factory.mktemp("cpp"), portable)
    run("cmake", "-S", ".", "-B", "build", f"-DCMAKE_CXX_FLAGS={' '.join(STRICT)}", cwd=folder)
    run("cmake", "--build", "build", cwd=folder)
    return folder


@pytest.mark.parametrize("standard", ["c++17", "c++20"])
def test_the_wrapper_keeps_its_promises(
    standard: str, portable: Path, exported: Callable[..., Path], backend_venv: Path, tmp_path: Path
) -> None:
    program = tmp_path / "wrapper"
    library = portable / "lib"
    run(
        *("g++", f"-std={standard}", "-O1", *STRICT, f"-I{portable}/include", SOURCES / "wrapper.cpp"),
        *("-o", program, f"-L{library}", "-laot_bridge", "-ldl", "-pthread", f"-Wl,-rpath,{library}"),
    )
    transposing = cached_export(backend_venv, SOURCES / "transpose.py")
    adding = cached_export(backend_venv, SOURCES / "running_total.py")
    run(program, portable / "models" / "mlp", transposing, exported("inplace"), adding)


def test_the_header_stands_alone_without_exceptions_and_rtti() -> None:
    header = ROOT / "bridge" / "include" / "aot_bridge.hpp"
    run("g++", "-std=c++17", "-fno-exceptions", "-fno-rtti", *STRICT, "-fsyntax-only", "-x", "c++", header)


def test_it_computes_what_eager_computes(made: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    assert_prints(run(made / "build" / "my-app", path).stdout, expected)


def test_ctest_passes(made: Path) -> None:
    run("ctest", "--test-dir", "build", "--output-on-failure", cwd=made)


def test_the_installed_program_finds_the_bundle_beside_it(made: Path, portable: Path, tmp_path: Path) -> None:
    run("cmake", "--install", "build", "--prefix", tmp_path / "first", cwd=made)
    moved = (tmp_path / "first").rename(tmp_path / "moved to here")
    assert runpath(moved / "my-app") == ["$ORIGIN/bundle/lib"]
    assert not (moved / "bundle").is_symlink()  # the project's own is one
    path, expected = sample(portable, tmp_path)
    assert_prints(run(moved / "my-app", path).stdout, expected)


def test_it_runs_in_an_empty_root(made: Path, portable: Path, tmp_path: Path) -> None:
    run("cmake", "--install", "build", "--prefix", tmp_path / "installed", "--strip", cwd=made)
    folder = deploy(tmp_path / "installed" / "my-app", portable, tmp_path / "deployed")
    path, expected = sample(portable, tmp_path)
    assert_prints(in_empty_root(folder, "my-app", "/input.npy", extra=[(path, "/input.npy")]), expected)


def test_errors_are_three_lines_and_an_exit_code(made: Path, portable: Path, tmp_path: Path) -> None:
    path, _ = sample(portable, tmp_path)
    program = made / "build" / "my-app"
    assert_three_lines(run(program, path, path, status=2))
    assert_three_lines(run(program, "--model", "other", path, status=2))
    assert_three_lines(run(program, made / "CMakeLists.txt", status=2))


def test_a_bundle_without_its_library_is_not_found(portable: Path, tmp_path: Path) -> None:
    folder = project("cpp", tmp_path, portable)
    incomplete = tmp_path / "incomplete"
    (incomplete / "share").mkdir(parents=True)
    (incomplete / "share" / "cmake").symlink_to(portable / "share" / "cmake")
    done = run("cmake", "-S", folder, "-B", tmp_path / "build", f"-DAOT_BUNDLE={incomplete}", status=1)
    assert "libaot_bridge.so is missing" in " ".join(done.stderr.split())


def test_of_several_models_one_is_named(made: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    bundle = str(two_models(portable, tmp_path / "two"))
    done = run(made / "build" / "my-app", path, status=2, AOT_BUNDLE=bundle)
    assert_three_lines(done)
    assert "holds first, second" in done.stderr
    assert_prints(run(made / "build" / "my-app", "--model", "second", path, AOT_BUNDLE=bundle).stdout, expected)
    assert "holds first, second" in run(made / "build" / "test-app", status=1, AOT_BUNDLE=bundle).stderr
    run(made / "build" / "test-app", AOT_BUNDLE=bundle, AOT_MODEL="second")
