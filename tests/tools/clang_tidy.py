"""clang-tidy over the bridge: `python -m tests.tools.clang_tidy`. Warnings are errors (bridge/.clang-tidy).

A file that had nothing to complain about is not looked at again until something changes that it follows from: itself,
any header that it reaches, its options, the checks, clang-tidy. `.cache/clang-tidy` remembers.

The slim runtime is left to `-Wall -Wextra -Werror`, the sanitizers and the comparison with torch: a hundred files that
each pull in torch's headers would cost more minutes than all tests together.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from aotpack.backend import Backend
from aotpack.environment.search import find_torch

ROOT = Path(__file__).resolve().parents[2]
BRIDGE = ROOT / "bridge"
SOURCES = ("src", "proxy", "tests")
CHECKS = BRIDGE / ".clang-tidy"
#: bridge/CMakeLists.txt gives them.
DEFINITIONS = ('-DAOT_COMPILER="c++"', '-DAOT_TEST_DATA="data"')
#: What only a GPU toolkit's headers can compile; a test does, where there are some.
LEFT_OUT = ("gpu_abi_test.cpp",)
#: A name of an empty file here: the hash of all that one clean result follows from.
CLEAN = ROOT / ".cache" / "clang-tidy"
PROGRAM = Path(sys.executable).with_name("clang-tidy")


def main() -> int:
    """0 when there is nothing to say."""
    found = [path for folder in SOURCES for path in sorted((BRIDGE / folder).rglob("*.cpp"))]
    files = [path for path in found if path.name not in LEFT_OUT]
    assert {path.relative_to(BRIDGE).parts[0] for path in files} == set(SOURCES), "a folder of the bridge is empty"
    flags = _flags()
    database = _database(files, flags)
    common = [_said(PROGRAM, "--version"), _said("c++", "--version"), *flags, CHECKS.read_text()]

    def check(file: Path) -> str | None:
        """What clang-tidy has against the file; "" when nothing, None when that was known."""
        key = _key(file, flags, common)
        if key and (CLEAN / key).exists():
            return None
        command = [PROGRAM, "--quiet", "-p", database, file]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{done.stdout}\n{done.stderr}"
        if key:
            (CLEAN / key).touch()
        return ""

    CLEAN.mkdir(parents=True, exist_ok=True)
    # The longest first, so that none of them runs alone at the end.
    files.sort(key=lambda path: (path.parent.name != "proxy", -path.stat().st_size))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(check, files))
    bad = [result for result in results if result]
    print(*bad, f"clang-tidy: {len(files)} files, {results.count(None)} unchanged, {len(bad)} with warnings", sep="\n")
    return 1 if bad else 0


def _flags() -> list[str]:
    """The compiler's options for each file."""
    includes = [f"-I{BRIDGE / folder}" for folder in ("include", *SOURCES)]
    torch = find_torch(Backend.CPU, venv=ROOT / ".venv")
    system = [flag for folder in torch.include_dirs for flag in ("-isystem", str(folder))]
    return ["-std=c++17", *includes, *system, *DEFINITIONS]


def _database(files: Sequence[Path], flags: Sequence[str]) -> Path:
    """The folder of the compilation database."""
    folder = ROOT / "build" / "clang-tidy"
    folder.mkdir(parents=True, exist_ok=True)
    commands = [
        {"directory": str(ROOT), "file": str(file), "arguments": ["c++", *flags, "-c", str(file)]} for file in files
    ]
    (folder / "compile_commands.json").write_text(json.dumps(commands))
    return folder


def _key(file: Path, flags: Sequence[str], common: Sequence[str]) -> str | None:
    """The hash of everything that the result follows from; None when not even its headers can be told."""
    try:
        listed = _said("c++", *flags, "-M", str(file)).replace("\\\n", " ").partition(":")[2].split()
    except subprocess.CalledProcessError:
        return None
    parts = [*common, str(file.relative_to(ROOT)), *(f"{name} {_digest(name)}" for name in listed)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _said(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
