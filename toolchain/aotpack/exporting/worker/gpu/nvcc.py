"""NVIDIA's compiler: where it is, what it knows, and the PTX that it is given. Without torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence

from ..failure import WorkerError, chain

#: Variables that name the compiler, or a toolkit, and its usual place: those of aotpack_doctor/reading/toolkits.py.
COMPILERS = ("CUDACXX",)
HOMES = ("CUDA_HOME", "CUDA_PATH")
USUAL = "/usr/local/cuda"
#: What does without it.
SEVERALLY = "export on a machine of each GPU, and give one build all packages: --model m=a.pt2 --model m=b.pt2"


def find(usual: str = USUAL) -> str:
    """Its path: what CUDACXX names, in a named toolkit, on PATH, or in the usual place. Raises WorkerError."""
    named = [os.environ.get(name) for name in COMPILERS]
    named += [f"{os.environ[home]}/bin/nvcc" for home in HOMES if os.environ.get(home)]
    for place in (*named, "nvcc", f"{usual}/bin/nvcc"):
        found = shutil.which(place) if place else None
        if found:
            return found
    raise WorkerError(
        f"nvcc: not on PATH, nor in {usual}",
        meaning="code for the GPUs of --arch is put together by NVIDIA's compiler",
        fix="install the CUDA toolkit and set CUDA_HOME, or leave --arch out for code for this machine's GPU alone",
        kind="tool",
    )


def refuse_unknown(archs: Sequence[str]) -> None:
    """Raise WorkerError for GPUs that it does not compile for, or where there is none."""
    compiler = find()
    known = subprocess.run([compiler, "--list-gpu-code"], capture_output=True, text=True, check=False).stdout.split()
    lacking = [arch for arch in archs if arch not in known]
    if lacking:
        raise WorkerError(
            f"--arch {','.join(lacking)}: {compiler} compiles for {', '.join(known) or 'no GPU'}",
            meaning="each CUDA toolkit knows the GPUs of its time",
            fix=f"leave {', '.join(lacking)} out of --arch, or name another toolkit: CUDA_HOME=/usr/local/cuda-VERSION",
            kind="tool",
        )


def for_any(ptx: str) -> str:
    """PTX for a GPU and all that came after it, where it was for that one alone. Pure."""
    return re.sub(r"^(\.target sm_\d+)[af]", r"\1", ptx, count=1, flags=re.MULTILINE)


def failure(error: Exception, archs: Sequence[str]) -> WorkerError | None:
    """What a user is told where nvcc refused a kernel; None for other errors."""
    for each in chain(error):
        if isinstance(each, subprocess.CalledProcessError) and "-fatbin" in each.cmd:
            said = [line for line in f"{each.stderr}\n{each.stdout}".splitlines() if line.strip()]
            first = next((line for line in said if "fatal" in line or "error" in line), said[0] if said else "")
            return WorkerError(
                f"nvcc cannot assemble a kernel for {', '.join(archs)}: {first.strip()}",
                meaning="either a kernel uses what one of these GPUs does not have, or the CUDA toolkit is older than "
                "the PTX that Triton writes",
                fix=f"add an older GPU to --arch, install a newer toolkit, or {SEVERALLY}",
                kind="tool",
                detail="\n".join(said[:20]),
            )
    return None
