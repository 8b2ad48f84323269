"""What a call through C++, Rust or Python costs over the same call of the C API.

Each language's program runs both ways in turn in one process, on one model, with one thread, and keeps the best round
of each: the cost of a wrapper is a constant that noise only adds to. `python -m benchmarks.embedding BUNDLE`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aotpack import new_project

PROGRAMS = Path(__file__).parent / "programs"
#: A round is short, so that some of them are not interrupted on a busy machine.
ROUNDS, CALLS = 1500, 25


@dataclass(frozen=True)
class Cost:
    """Microseconds a call, of C and of another language in the same process."""

    language: str
    c: float
    other: float
    #: What the wrapper may add, in microseconds.
    limit: float

    @property
    def added(self) -> float:
        """Microseconds that the language adds to a call."""
        return self.other - self.c


def measure(bundle: Path, work: Path) -> Iterator[Cost]:
    """The costs in every language whose compiler is here; `bundle` holds the MLP, programs go into `work`."""
    library = bundle / "lib"
    link = (f"-I{bundle}/include", f"-L{library}", f"-Wl,-rpath,{library}")
    model = bundle / "models" / "mlp"

    _run("g++", "-std=c++17", "-O2", PROGRAMS / "embedding.cpp", *link, "-laot_bridge", "-ldl", "-o", work / "cpp")
    yield _cost("C++", 0.2, work / "cpp", model)

    if shutil.which("cargo"):
        project = work / "rust"
        shutil.rmtree(project, ignore_errors=True)  # of an earlier run
        new_project.create("rust", project, bundle)
        source = (PROGRAMS / "embedding.rs").read_text(encoding="utf-8").replace("aot_app", "rust")
        (project / "examples").mkdir()
        (project / "examples" / "embedding.rs").write_text(source, encoding="utf-8")
        _run("cargo", "build", "--quiet", "--offline", "--release", "--example", "embedding", cwd=project)
        program = project / "target" / "release" / "examples" / "embedding"
        yield _cost("Rust", 0.5, program, model, library_path=library)

    loop = work / "loop.so"
    _run("cc", "-O2", "-shared", "-fPIC", PROGRAMS / "embedding_loop.c", *link, "-laot_bridge", "-o", loop)
    yield _cost("Python", 5.0, sys.executable, PROGRAMS / "embedding_python.py", bundle, loop)


def _run(*command: str | Path, cwd: Path | None = None, library_path: Path | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "LD_LIBRARY_PATH": str(library_path or "")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def _cost(language: str, limit: float, *command: str | Path, library_path: Path | None = None) -> Cost:
    c, other = map(float, _run(*command, str(ROUNDS), str(CALLS), library_path=library_path).split())
    return Cost(language, c, other, limit)


def table(costs: list[Cost]) -> list[str]:
    """Lines of Markdown."""
    rows = [
        f"| {cost.language} | {cost.c:.2f} | {cost.other:.2f} | {cost.added:.2f} | <= {cost.limit:g} | "
        f"{'reached' if cost.added <= cost.limit else '**missed**'} |"
        for cost in costs
    ]
    return [
        "| language | C, us a call | through it, us a call | added | limit | |",
        "|---|---:|---:|---:|---:|---|",
        *rows,
    ]


def main() -> None:
    """Measure one bundle and print the table."""
    bundle = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as work:
        print("\n".join(table(list(measure(bundle, Path(work))))))


if __name__ == "__main__":
    main()
