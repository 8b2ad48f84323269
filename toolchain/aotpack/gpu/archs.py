"""GPUs as `--arch` names them, and which code serves them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aotpack.backend import Backend
from aotpack.errors import UsageError
from aotpack.gpu import fatbin, gfx
from aotpack_doctor.base.gpu_code import runs_rocm

#: What the name of PTX begins with, which the driver compiles for GPUs that no machine code is for.
PTX = "compute_"
#: What to write instead of a word that is no GPU.
_ADVICE = {
    Backend.CPU: "leave it out for the CPU",
    Backend.CUDA: "name GPUs such as sm_90, several with commas between",
    Backend.ROCM: "name GPUs such as gfx90a, several with commas between",
}


def listed(archs: object) -> tuple[str, ...]:
    """What a caller in Python gives as `archs`. Raises UsageError for what is no list of texts."""
    words = tuple(archs) if isinstance(archs, Iterable) and not isinstance(archs, str) else (None,)
    if not all(isinstance(word, str) for word in words):
        raise UsageError(
            f"archs={archs!r}: not a list of texts",
            meaning="it names GPUs, each by a text",
            fix='archs=["sm_90"]',
        )
    return words


def check_archs(backend: Backend, archs: Iterable[str], *, meaning: str) -> None:
    """Refuse words that are no GPU of the backend, with a UsageError that says what `--arch` means."""
    for arch in archs:
        try:
            if backend is Backend.CUDA:
                refuse_suffix(fatbin.parse_arch(arch))
            elif backend is Backend.ROCM:
                gfx.parse_target(arch)
            else:
                raise ValueError(f"{backend} has no GPU code to choose from")
        except ValueError as error:
            raise UsageError(
                f"--arch {arch}: {error}",
                meaning=meaning,
                fix=_ADVICE[backend],
            ) from error


def refuse_suffix(arch: fatbin.Arch) -> None:
    """A GPU has no suffix: `sm_90a` is code for the GPU `sm_90`. Raises ValueError."""
    if arch.suffix:
        raise ValueError(f"that is a kind of code; the GPU is sm_{arch.major}{arch.minor}")


def in_order(archs: Iterable[str]) -> tuple[str, ...]:
    """GPUs of one backend, each once, those of older code first."""
    return tuple(sorted(set(archs), key=lambda arch: (len(arch.partition(":")[0]), arch)))


def serves(code: str, gpu: str) -> bool:
    """Whether code (`sm_80`, `sm_90a`, the PTX `compute_80`, `gfx90a:xnack+`, `gfx11-generic`) runs on a GPU."""
    if code.startswith(PTX):
        return gpu.startswith("sm_") and fatbin.compiles(
            fatbin.parse_arch(code.replace(PTX, "sm_")), fatbin.parse_arch(gpu)
        )
    if code.startswith("sm_") and gpu.startswith("sm_"):
        return fatbin.runs(fatbin.parse_arch(code), fatbin.parse_arch(gpu))
    return runs_rocm(gpu.partition(":")[0], [code]) is True


def unserved(codes: Iterable[str], gpus: Iterable[str]) -> tuple[str, ...]:
    """The GPUs that none of the code is for."""
    codes = tuple(codes)
    return tuple(gpu for gpu in gpus if not any(serves(code, gpu) for code in codes))


def label(archs: Sequence[str]) -> str:
    """What code is called for short: after its machine code, `sm_80-sm_90`, as PTX serves whatever is newer."""
    machine = [arch.partition(":")[0] for arch in archs if not arch.startswith(PTX)]
    return "-".join(machine or archs)
