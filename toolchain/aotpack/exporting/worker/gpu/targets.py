"""Code for GPUs that `--arch` names, whichever this machine has.

NVIDIA's: torch measures on this machine's GPU which form of a kernel is best, and lets Triton compile that for the
oldest GPU of the list. nvcc assembles the PTX which comes of it for each of them, into one fatbin, and adds the PTX
itself, which drivers compile for newer GPUs (pytorch 2.14: the option `cuda.arch`, TORCH_CUDA_ARCH_LIST).

AMD's: Triton compiles for this machine's GPU, and ROCm's clang compiles the LLVM IR of that for the others as well
(PYTORCH_ROCM_ARCH, to which torch adds this machine's own).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch._inductor import codecache

from ..failure import WorkerError
from ..options import is_known
from . import limits, nvcc

_COMMAND = "_cuda_fatbin_command"
#: How AMD's GPUs are called whose threads run in groups of 64; the others' run in groups of 32.
_WIDE = "gfx9"


def wanted(archs: Sequence[str]) -> list[str]:
    """The GPUs to compile for; none for this machine's own alone, which is what torch does. Raises WorkerError."""
    if not archs or list(archs) == [own()]:
        return []
    if torch.version.hip:
        _refuse_without_rocm(archs)
    else:
        _refuse_without_cuda(archs)
    return list(archs)


def own() -> str:
    """This machine's GPU."""
    if torch.version.hip:
        return str(torch.cuda.get_device_properties().gcnArchName).partition(":")[0]
    major, minor = torch.cuda.get_device_capability()
    return f"sm_{major}{minor}"


def run_here(archs: Sequence[str]) -> bool:
    """Whether code for GPUs runs on this machine's own: PTX of the oldest does on all that are newer."""
    return not archs or bool(torch.version.hip) or limits.number(archs[0]) <= limits.number(own())


def options(archs: Sequence[str]) -> dict[str, Any]:
    """Inductor's options for code for these GPUs."""
    if not archs:
        return {}
    found: dict[str, Any] = {"aot_inductor.emit_multi_arch_kernel": True}
    if not torch.version.hip:
        found |= {"cuda.arch": str(limits.number(archs[0])), "cuda.cuda_cxx": nvcc.find()}
    return found


@contextlib.contextmanager
def asked(archs: Sequence[str]) -> Iterator[None]:
    """While the block compiles, torch knows of these GPUs."""
    if not archs:
        yield
    elif torch.version.hip:
        with _variable("PYTORCH_ROCM_ARCH", ",".join(archs)):
            yield
    else:
        with _variable("TORCH_CUDA_ARCH_LIST", _listed(archs)), _assembled_by_nvcc():
            yield


def refuse_unfit(folder: Path, wrapper: str, archs: Sequence[str]) -> None:
    """Raise WorkerError for what one of the GPUs cannot run, of kernels in `folder` and of the code that calls them."""
    if not archs or torch.version.hip:
        return
    limits.refuse_functions(wrapper, archs)
    cache = codecache.CudaKernelParamCache.cache.values()
    # Kernels elsewhere are those of another export of this process.
    ours = [kernel for kernel in cache if Path(kernel.get("asm") or "").resolve().parent == folder.resolve()]
    limits.refuse_large_blocks({kernel["mangled_name"]: int(kernel["shared_mem"]) for kernel in ours}, archs)


def _listed(archs: Sequence[str]) -> str:
    return ";".join(f"{number // 10}.{number % 10}" for number in map(limits.number, archs))


def _refuse_without_cuda(archs: Sequence[str]) -> None:
    from torch.utils import cpp_extension

    if not hasattr(codecache, _COMMAND) or not is_known("cuda.arch"):
        raise WorkerError(
            f"--arch {','.join(archs)}: torch {torch.__version__} compiles for this machine's GPU alone, {own()}",
            meaning="code for several GPUs in one package takes torch 2.14 or newer",
            fix=f"aotpack init --backend cuda --torch 2.14.1; or {nvcc.SEVERALLY}",
            kind="torch",
        )
    with _variable("TORCH_CUDA_ARCH_LIST", _listed(archs)):
        try:
            cpp_extension._get_cuda_arch_flags([])
        except ValueError as error:
            raise WorkerError(
                f"--arch {','.join(archs)}: torch {torch.__version__} says: {error}",
                meaning="this torch does not compile for all of these GPUs",
                fix="leave that GPU out of --arch, or export with another torch: aotpack init --torch VERSION",
                kind="torch",
            ) from error
    nvcc.refuse_unknown(archs)


def _refuse_without_rocm(archs: Sequence[str]) -> None:
    try:
        from torch._inductor import rocm_multiarch_utils as rocm
    except ImportError:
        raise WorkerError(
            f"--arch {','.join(archs)}: torch {torch.__version__} compiles for this machine's GPU alone, {own()}",
            meaning="code for several GPUs in one package takes a newer torch",
            fix=f"aotpack init --backend rocm --torch VERSION; or {nvcc.SEVERALLY}",
            kind="torch",
        ) from None
    # The code is compiled from that for this machine's GPU, which says how many threads run together.
    others = [arch for arch in archs if arch.startswith(_WIDE) != own().startswith(_WIDE)]
    if others:
        raise WorkerError(
            f"--arch {','.join(others)}: not from a machine with {own()}",
            meaning="threads run in groups of 64 on gfx9 and of 32 on newer GPUs, and a kernel is made for one of them",
            fix=nvcc.SEVERALLY,
            kind="usage",
        )
    try:
        rocm.get_rocm_compiler()
        rocm.get_rocm_bundler()
    except RuntimeError as error:
        raise WorkerError(
            f"--arch {','.join(archs)}: {error}",
            meaning="code for several GPUs is put together by ROCm's clang and clang-offload-bundler",
            fix="install ROCm and set ROCM_HOME, or leave --arch out for code for this machine's GPU alone",
            kind="tool",
        ) from error


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def _assembled_by_nvcc() -> Iterator[None]:
    """Let all machine code come from PTX that is for no GPU in particular.

    From sm_90 on Triton compiles for `sm_90a`, code that runs nowhere but there. torch would call it `sm_90`, for the
    PTX as for the machine code that Triton made, which GPUs of the same major version then fail to load; and nvcc
    refuses such PTX for other GPUs (pytorch 2.14). nvcc knows whether a kernel needs what only `sm_90a` has.
    """
    command_of = getattr(codecache, _COMMAND)

    def command(
        asm: str, output: str, _of_triton: str | None, compiler: str | None, _fatbinary: str | None, oldest: str
    ) -> list[str]:
        ptx = Path(asm)
        ptx.write_text(nvcc.for_any(ptx.read_text()))
        return list(command_of(asm, output, None, compiler, None, oldest.rstrip("af")))

    setattr(codecache, _COMMAND, command)
    try:
        yield
    finally:
        setattr(codecache, _COMMAND, command_of)
