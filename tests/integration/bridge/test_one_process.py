"""The process that loads a bundle: it forks, gets no more threads, or holds torch or another runtime too."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.progress.reporter import Reporter
from tests.support.packages.exporting import ROOT, SOURCES, cached_export

HERE = Path(__file__).resolve().parent

Bundles = dict[Literal["full", "slim"], Path]


@pytest.fixture(scope="module")
def bundles(backend_venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """A bundle of either runtime, with the same model."""
    package = cached_export(backend_venv, SOURCES / "safety_models.py", function="parallel")
    folder = tmp_path_factory.mktemp("bundles")
    made: Bundles = {"full": folder / "full", "slim": folder / "slim"}
    for runtime, output in made.items():
        request = BuildRequest(
            backend=Backend.CPU,
            output=output,
            models=(("parallel", package),),
            runtime=runtime,
            venv=backend_venv,
        )
        build(request, Reporter())
    return made


@pytest.fixture
def run(backend_python: Path, bundles: Bundles) -> Callable[..., None]:
    """Run in_one_process.py, in the environment that has torch."""

    def run(what: str, *runtimes: Literal["full", "slim"], stack: int | None = None) -> None:
        def limit() -> None:
            if stack is not None:
                resource.setrlimit(resource.RLIMIT_STACK, (stack, resource.RLIM_INFINITY))

        command = [backend_python, HERE / "in_one_process.py", what, *(bundles[runtime] for runtime in runtimes)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=300, preexec_fn=limit, cwd="/"
        )
        assert done.returncode == 0, done.stdout + done.stderr[-4000:]

    return run


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that loads bundles without Python."""
    program = tmp_path_factory.mktemp("host") / "one_process"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-I", ROOT / "bridge/include"]
    subprocess.run(["gcc", *flags, HERE / "one_process.c", "-o", program, "-ldl", "-lm"], check=True)
    return program


@pytest.mark.parametrize(
    ("what", "runtimes"),
    [
        ("forks", ("full",)),
        ("forks", ("slim",)),
        ("no_threads", ("full",)),
        ("no_threads", ("slim",)),
        ("several", ("full", "slim")),
        ("several", ("slim", "full")),
    ],
)
def test_a_host_in_c(host: Path, bundles: Bundles, what: str, runtimes: tuple[Literal["full", "slim"], ...]) -> None:
    def limit() -> None:
        if what == "no_threads":
            resource.setrlimit(resource.RLIMIT_STACK, (8 << 30, resource.RLIM_INFINITY))

    command = [host, what, *(bundles[runtime] for runtime in runtimes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, preexec_fn=limit, cwd="/")
    assert done.returncode == 0, done.stderr[-4000:]  # code of a model tells of its errors there, too


@pytest.mark.parametrize("runtime", ["full", "slim"])
@pytest.mark.parametrize(
    "what", ["fork", "fork_at_work", "fork_while_waiting", "threads_again", "torch_first", "torch_last"]
)
def test_a_process_with_one_bundle(run: Callable[..., None], what: str, runtime: Literal["full", "slim"]) -> None:
    run(what, runtime)


@pytest.mark.parametrize("runtime", ["full", "slim"])
def test_a_thread_that_cannot_be_made_is_one_thread_less(
    run: Callable[..., None], runtime: Literal["full", "slim"]
) -> None:
    run("no_threads", runtime, stack=8 << 30)


@pytest.mark.parametrize("runtimes", [("full", "slim"), ("slim", "full")])
def test_two_runtimes_in_one_process(run: Callable[..., None], runtimes: tuple[Literal["full", "slim"], ...]) -> None:
    run("several", *runtimes)
