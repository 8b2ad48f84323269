"""The GPUs that a bundle is built for: what `--arch` may say for a backend. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from aotpack.backend import Backend
from aotpack.errors import ModelMismatchError, UsageError
from aotpack.gpu import fatbin, gfx
from aotpack.package.metadata import ModelMetadata


def check_archs(backend: Backend, archs: Sequence[str]) -> None:
    """Refuse words that are no GPU of the backend, with a UsageError."""
    for arch in archs:
        try:
            if backend is Backend.CUDA:
                refuse_suffix(fatbin.parse_arch(arch))
            elif backend is Backend.ROCM:
                gfx.parse_target(arch)
            else:
                raise ValueError(f"backend {backend} has no GPU code to choose from")
        except ValueError as error:
            raise UsageError(
                f"--arch {arch}: {error}",
                meaning="--arch names the GPUs that the bundle is to run on; code and data for others is left out",
                fix="name GPUs such as sm_90 (--backend cuda) or gfx90a (--backend rocm), several with commas between",
            ) from error


def refuse_suffix(arch: fatbin.Arch) -> None:
    """A GPU has no suffix: `sm_90a` is code for the GPU `sm_90`. Raises ValueError."""
    if arch.suffix:
        raise ValueError(f"that is a kind of code; the GPU is sm_{arch.major}{arch.minor}")


def check_model_archs(name: str, metadata: ModelMetadata, archs: Sequence[str]) -> None:
    """Refuse a model whose own code is for none of the chosen GPUs, with a ModelMismatchError."""
    compiled = {arch.partition(":")[0] for arch in metadata.gpu_archs}
    if not archs or not compiled or any(_serves(code, arch) for code in compiled for arch in archs):
        return
    raise ModelMismatchError(
        f"model {name} is compiled for {', '.join(sorted(compiled))}, --arch keeps {', '.join(archs)}",
        meaning="the bundle would hold no GPU that can run the model",
        fix=f"add {min(compiled)} to --arch, or export the model on a GPU of {archs[0]}",
    )


def _serves(code: str, gpu: str) -> bool:
    if not code.startswith("sm_"):
        return code == gpu.partition(":")[0]
    return fatbin.runs(fatbin.parse_arch(code), fatbin.parse_arch(gpu))
