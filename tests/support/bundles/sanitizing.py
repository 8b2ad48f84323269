"""What tests under sanitizers share: their environment, and bundles whose slim runtime is a sanitized build."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.environment.torch import TorchInfo
from aotpack.native.slim import SlimBuild, build_slim
from aotpack.progress.reporter import Reporter
from aotpack.runtime.slim_table import Part


def environment(*preload: str, leaks: bool = False) -> dict[str, str]:
    """Environment of a process under GCC's sanitizers: the one place for their options.

    Args:
        preload: GCC's libraries, for a program not built with them.
        leaks: whether what is still allocated at the end is reported. Python and torch keep memory for good.
    """
    found = [subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip() for name in preload]
    address = {
        "detect_leaks": int(leaks),
        "detect_stack_use_after_return": int(leaks),
        # Else the leak checker reads, at the end, headers that it believes to lie before each block of thread-local
        # memory: with GCC 12 on some machines a signal in its own tracer, depending on the length of paths.
        "intercept_tls_get_addr": 0,
    }
    return {
        **os.environ,
        **({"LD_PRELOAD": " ".join(found)} if found else {}),
        "ASAN_OPTIONS": ":".join(f"{name}={value}" for name, value in address.items()),
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def address_runtime(torch: TorchInfo) -> SlimBuild:
    """The whole slim runtime under ASan and UBSan."""
    return build_slim(torch, tuple(Part), sanitize="address,undefined")


def thread_runtime(torch: TorchInfo) -> SlimBuild:
    """The slim runtime under ThreadSanitizer, of ops/ what models need: what threads share lies elsewhere."""
    return build_slim(
        torch,
        tuple(Part),
        sanitize="thread",
        ops=("layers/convolution", "pooling/max_pool", "products/matrix_products"),
    )


def slim_bundle(output: Path, venv: Path, models: Mapping[str, Path], runtime: SlimBuild) -> Path:
    """A development bundle with the slim runtime, whose libraries `runtime` then replaces."""
    request = BuildRequest(
        backend=Backend.CPU, output=output, models=tuple(models.items()), portable=False, runtime="slim", venv=venv
    )
    build(request, Reporter())
    described = json.loads((output / "bundle.json").read_bytes())
    for library in runtime.libraries:
        place = output / "lib" / library.name
        if place.is_symlink() or place.exists():
            place.unlink()
            shutil.copy(library, place)
            record = next(each for each in described["files"] if each["path"] == f"lib/{library.name}")
            record["size"] = place.stat().st_size  # `aotrun check` looks at it
    (output / "bundle.json").write_text(json.dumps(described))
    return output


def check(bundle: Path, model: str) -> None:
    """Run `aotrun check` on a sanitized bundle: the model gives what eager PyTorch gave, and no sanitizer complains."""
    env = {**environment("libasan.so", "libubsan.so"), "PYTHONPATH": str(bundle / "runner")}
    command = [sys.executable, "-m", "aotrun", "check", "--model", model]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-8000:]
    assert "as recorded at export" in done.stdout
