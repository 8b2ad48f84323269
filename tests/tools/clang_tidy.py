"""clang-tidy over the bridge: `python -m tests.tools.clang_tidy`. Warnings are errors (bridge/.clang-tidy).

The slim runtime is left to `-Wall -Wextra -Werror`, the sanitizers and the comparison with torch: a hundred files that
each pull in torch's headers would cost more minutes than all tests together.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aotpack.backend import Backend
from aotpack.environment.search import find_torch

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("bridge/src", "bridge/proxy", "bridge/tests")
#: What only a GPU toolkit's headers can compile; the tests compile it against HIP's.
LEFT_OUT = ("device_gpu.cpp",)


def main() -> int:
    """0 when there is nothing to say."""
    torch = find_torch(Backend.CPU, venv=ROOT / ".venv")
    includes = ["bridge/include", "bridge/src", "bridge/proxy", "bridge/tests"]
    flags = ["-std=c++17", *(f"-I{ROOT / folder}" for folder in includes)]
    for folder in torch.include_dirs:
        flags += ["-isystem", str(folder)]
    flags += ['-DAOT_COMPILER="c++"', '-DAOT_RUNPATH="$ORIGIN"']
    files = [path for folder in SOURCES for path in sorted((ROOT / folder).glob("*.cpp")) if path.name not in LEFT_OUT]
    database = ROOT / "build" / "clang-tidy"
    database.mkdir(parents=True, exist_ok=True)
    commands = [
        {"directory": str(ROOT), "file": str(file), "arguments": ["c++", *flags, "-c", str(file)]} for file in files
    ]
    (database / "compile_commands.json").write_text(json.dumps(commands))
    program = str(Path(sys.executable).with_name("clang-tidy"))

    def check(file: Path) -> subprocess.CompletedProcess[str]:
        command = [program, "--quiet", "-p", str(database), str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = [done for done in pool.map(check, files) if done.returncode]
    for done in bad:
        print(done.stdout, done.stderr, sep="\n")
    print(f"clang-tidy: {len(files)} files, {len(bad)} with warnings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
