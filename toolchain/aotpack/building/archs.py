"""The GPUs that a bundle is built for, held against the models' code. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from aotpack.backend import Backend
from aotpack.errors import ModelMismatchError
from aotpack.gpu.archs import check_archs, listed, unserved
from aotpack.package.metadata import ModelMetadata


def archs_to_keep(archs: object, backend: Backend) -> tuple[str, ...]:
    """Check `--arch` of a build, in the order that it was given. Raises UsageError."""
    found = listed(archs)
    meaning = "--arch names the GPUs that the bundle is to run on; code and data for others is left out"
    check_archs(backend, found, meaning=meaning)
    return found


def check_model_archs(name: str, metadata: ModelMetadata, archs: Sequence[str]) -> None:
    """Refuse a model whose own code is for none of the chosen GPUs, with a ModelMismatchError."""
    compiled = metadata.gpu_archs
    if not archs or not compiled or set(unserved(compiled, archs)) != set(archs):
        return
    raise ModelMismatchError(
        f"model {name} is compiled for {', '.join(compiled)}, --arch keeps {', '.join(archs)}",
        meaning="the bundle would hold no GPU that can run the model",
        fix=f"add {compiled[0].partition(':')[0]} to --arch, or export the model for these GPUs: "
        f"aotpack export ... --arch {','.join(archs)}",
    )
