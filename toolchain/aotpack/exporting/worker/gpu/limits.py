"""What NVIDIA's GPUs can do, where code that was chosen on one of them is for others as well. Without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..failure import WorkerError
from .nvcc import SEVERALLY

#: KiB of shared memory that a block may have at most, by GPU ("Technical Specifications per Compute Capability" of the
#: CUDA C++ Programming Guide). One that is not here is not asked about.
_SHARED = {
    **dict.fromkeys(("sm_70", "sm_72"), 96),
    "sm_75": 64,
    **dict.fromkeys(("sm_80", "sm_87"), 163),
    **dict.fromkeys(("sm_86", "sm_89", "sm_120", "sm_121"), 99),
    **dict.fromkeys(("sm_90", "sm_100", "sm_101", "sm_103", "sm_110"), 227),
}
#: Attention that torch chooses by the GPU it sees, and the first GPU that can run it.
_ATTENTION = re.compile(r"_scaled_dot_product_(?:flash|cudnn)_attention")
_SINCE = 80


def number(arch: str) -> int:
    """90 of `sm_90`."""
    return int(arch.removeprefix("sm_"))


def refuse_functions(wrapper: str, archs: Sequence[str]) -> None:
    """Raise WorkerError for a function of torch's, called in generated C++, that the oldest of the GPUs cannot run."""
    found = _ATTENTION.search(wrapper)
    if found and number(archs[0]) < _SINCE:
        raise WorkerError(
            f"the model calls {found[0]}, which {archs[0]} cannot run",
            meaning=f"torch chose this function for this machine's GPU; it is for sm_{_SINCE} and newer ones",
            fix=f"leave {archs[0]} out of --arch; or {SEVERALLY}",
            kind="model",
        )


def refuse_large_blocks(kernels: Mapping[str, int], archs: Sequence[str]) -> None:
    """Raise WorkerError for a kernel that takes more shared memory, in bytes, than one of the GPUs has for a block."""
    for name, taken in kernels.items():
        small = [arch for arch in archs if taken > _SHARED.get(arch, taken) * 1024]
        if small:
            raise WorkerError(
                f"the kernel {name} takes {taken:,} bytes of shared memory; {small[0]} has {_SHARED[small[0]]} KiB "
                "for a block",
                meaning="the form that is best on this machine's GPU does not fit there",
                fix=f"leave {', '.join(small)} out of --arch; or {SEVERALLY}",
                kind="model",
            )
