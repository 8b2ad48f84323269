"""The C project of `aotpack new`: make, CMake, pkg-config, errors, deployment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bundles.embedding_projects import (
    assert_prints,
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

STRICT = "-O2 -Wall -Wextra -Werror -Wpedantic -Wconversion -Wshadow"


@pytest.fixture(scope="module")
def made(portable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, built by make with every warning an error."""
    needs("pkg-config")
    folder = project("c", tmp_path_factory.mktemp("c"), portable)
    run("make", f"CFLAGS={STRICT}", cwd=folder)
    return folder


def test_it_computes_what_eager_computes(made: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    assert_prints(run(made / "build" / "my-app", path).stdout, expected)


def test_make_test_passes(made: Path) -> None:
    run("make", "test", cwd=made)


def test_cmake_builds_and_tests_it_too(made: Path, portable: Path, tmp_path: Path) -> None:
    build = tmp_path / "build"
    run("cmake", "-S", made, "-B", build, f"-DCMAKE_C_FLAGS={STRICT}")
    run("cmake", "--build", build)
    run("ctest", "--test-dir", build, "--output-on-failure")
    path, expected = sample(portable, tmp_path)
    assert_prints(run(build / "my-app", path).stdout, expected)
    run("cmake", "--install", build, "--prefix", tmp_path / "first")
    moved = (tmp_path / "first").rename(tmp_path / "moved to here")
    assert not (moved / "bundle").is_symlink()  # the project's own is one
    assert_prints(run(moved / "my-app", path).stdout, expected)


def test_the_deployed_folder_moves_and_runs_in_an_empty_root(made: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    first = deploy(made / "build" / "my-app", portable, tmp_path / "first")
    moved = first.rename(tmp_path / "moved to here")
    assert_prints(run(moved / "my-app", path, cwd=tmp_path).stdout, expected)
    assert all(folder.startswith("$ORIGIN/") for folder in runpath(moved / "my-app"))
    assert_prints(in_empty_root(moved, "my-app", "/input.npy", extra=[(path, "/input.npy")]), expected)


def test_make_deploy_puts_program_and_bundle_side_by_side(portable: Path, tmp_path: Path) -> None:
    needs("pkg-config")
    folder = project("c", tmp_path, portable)
    run("make", "deploy", cwd=folder)
    path, expected = sample(portable, tmp_path)
    (folder / "bundle").unlink()  # so that only the copy can serve
    assert_prints(run(folder / "deploy" / "my-app", path).stdout, expected)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["{input}", "{input}"], 2),  # an input too many
        (["--model", "other", "{input}"], 2),
        (["{source}"], 2),  # not an array
        (["/nonexistent.npy"], 2),
    ],
)
def test_errors_are_three_lines_and_an_exit_code(
    arguments: list[str], status: int, made: Path, portable: Path, tmp_path: Path
) -> None:
    path, _ = sample(portable, tmp_path)
    filled = [argument.format(input=path, source=made / "src" / "main.c") for argument in arguments]
    assert_three_lines(run(made / "build" / "my-app", *filled, status=status))


def test_aot_bundle_names_another_bundle(made: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    program = made / "build" / "my-app"
    assert_prints(run(program, path, AOT_BUNDLE=str(portable)).stdout, expected)
    done = run(program, path, status=2, AOT_BUNDLE="/nowhere")
    assert_three_lines(done)
    assert "/nowhere/models holds none" in done.stderr


def test_of_several_models_one_is_named(made: Path, portable: Path, tmp_path: Path) -> None:
    path, expected = sample(portable, tmp_path)
    bundle = str(two_models(portable, tmp_path / "two"))
    done = run(made / "build" / "my-app", path, status=2, AOT_BUNDLE=bundle)
    assert_three_lines(done)
    assert {"first", "second"} <= set(done.stderr.splitlines()[0].replace(",", "").split())
    assert_prints(run(made / "build" / "my-app", "--model", "second", path, AOT_BUNDLE=bundle).stdout, expected)
    run("make", "test", cwd=made, status=2, AOT_BUNDLE=bundle)
    run("make", "test", cwd=made, AOT_BUNDLE=bundle, AOT_MODEL="second")
