"""The layout in which the slim profile packs the weights of linear layers.

Freezing packs them as torch's oneDNN likes them best. On a processor with AVX2 and no AVX-512 the slim runtime
multiplies faster by a convolution of one tap, which wants them in blocks of 8 x 8. Packed so at export, they are mapped
on the target and shared by its processes; repacked there, each would hold a copy. torch reads this layout as well: a
layout is a part of a packed weight.

Measured with float32 on AVX2 (oneDNN 3.2, GFLOP/s at one thread, inner product and convolution): 128 rows x 768 x 768
59 to 75 and 78 to 86, 128 x 768 x 3072 66 to 74 and 84, 128 x 3072 x 768 65 to 78 and 83, 16 x 768 x 768 45 and 54,
512 x 768 x 768 83 and 88. At two threads four rows take 1.2 times as long, sixteen and more 0.7 to 0.95 times.
"""

from __future__ import annotations

import ctypes
import functools
import math
from pathlib import Path

import torch
from torch._inductor import cpu_vec_isa
from torch._inductor.custom_graph_pass import CustomGraphPass

#: Of output and of input features, in each of which they vary fastest.
BLOCK = 8
#: Fewer rows are left to torch's choice.
FEWEST_ROWS = 8

_MAX_DIMS = 12
_Dims = ctypes.c_int64 * _MAX_DIMS


class _Descriptor(ctypes.Structure):
    """How a blocked layout begins as oneDNN 3 writes it down: its struct dnnl_memory_desc."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("sizes", _Dims),
        ("dtype", ctypes.c_int32),
        ("padded_sizes", _Dims),
        ("padded_offsets", _Dims),
        ("offset", ctypes.c_int64),
        ("format", ctypes.c_int32),
        ("strides", _Dims),
        ("blocks", ctypes.c_int32),
        ("block_sizes", _Dims),
        ("block_dims", _Dims),
    )


class PackLinearWeights(CustomGraphPass):  # type: ignore[misc]
    """Packs the weights of a frozen graph's float32 linear layers anew."""

    def __init__(self) -> None:
        #: What the new weights point into.
        self._storages: list[torch.Tensor] = []

    def __call__(self, graph: torch.fx.Graph) -> None:
        """Replace the constants that linear layers on enough rows use, and nothing else."""
        module = graph.owning_module
        for node in graph.find_nodes(op="get_attr"):
            weight = getattr(module, node.target, None)
            if not isinstance(weight, torch.Tensor) or not weight.is_mkldnn:
                continue
            if (weight.dtype, weight.dim()) == (torch.float32, 2) and all(
                _multiplies_many_rows(user, weight) for user in node.users
            ):
                packed, storage = in_blocks(weight)
                self._storages.append(storage)
                setattr(module, node.target, packed)

    def uuid(self) -> str:
        """What identifies the pass where compiled graphs are cached."""
        return f"aotpack-linear-weights-{BLOCK}-{FEWEST_ROWS}"


def suits_target() -> bool:
    """Whether code is compiled for a processor whose widest vectors are those of AVX2."""
    return isinstance(cpu_vec_isa.pick_vec_isa(), cpu_vec_isa.VecAVX2)


def in_blocks(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight [output features, input features], which oneDNN has packed somehow, in blocks; zeros fill the last.

    Returns the packed tensor and the memory it points into, which must live as long.
    """
    missing = [-size % BLOCK for size in weight.shape]
    padded = torch.nn.functional.pad(weight.to_dense(), (0, missing[1], 0, missing[0]))
    columns, depth = padded.shape
    blocks = padded.reshape(columns // BLOCK, BLOCK, depth // BLOCK, BLOCK)
    storage = blocks.permute(0, 2, 3, 1).contiguous()
    return _tensor_of(storage, weight.shape, _descriptor(weight, padded.shape)), storage


def _multiplies_many_rows(user: torch.fx.Node, weight: torch.Tensor) -> bool:
    """Whether a node is a linear layer on enough rows; sizes that are not known are taken for large.

    It is told by its arguments: once fused with what follows it, its target is a function of Inductor's own.
    """
    rows = user.args[0] if user.args else None
    value = rows.meta.get("val") if isinstance(rows, torch.fx.Node) else None
    if not isinstance(value, torch.Tensor) or value.dim() == 0 or value.shape[-1] != weight.shape[1]:
        return False
    likely = [size if isinstance(size, int) else size.node.hint or FEWEST_ROWS for size in value.shape[:-1]]
    return math.prod(likely) >= FEWEST_ROWS


def _descriptor(weight: torch.Tensor, padded: torch.Size) -> bytes:
    """That of `weight`, in blocks of the padded sizes."""
    given = bytes(torch.ops.mkldnn._get_mkldnn_serialized_md(weight).tolist())
    changed = _Descriptor.from_buffer_copy(given)
    changed.padded_sizes[:2] = padded
    changed.strides[:2] = (padded[1] * BLOCK, BLOCK * BLOCK)
    changed.blocks = 2
    changed.block_sizes[:] = (BLOCK, BLOCK, *[0] * (_MAX_DIMS - 2))
    changed.block_dims[:] = (1, 0, *[0] * (_MAX_DIMS - 2))
    return bytes(changed) + given[ctypes.sizeof(_Descriptor) :]


def _tensor_of(storage: torch.Tensor, sizes: torch.Size, descriptor: bytes) -> torch.Tensor:
    """A packed tensor over memory that is in the descriptor's layout, made as AOTInductor makes a model's constants."""
    shim, capsule = _shim(), ctypes.pythonapi.PyCapsule_New
    capsule.restype, capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    dims = ctypes.c_int64 * len(sizes)
    handle = ctypes.c_void_p()
    status = shim.aoti_torch_create_tensor_from_blob_v2(
        ctypes.c_void_p(storage.data_ptr()),
        ctypes.c_int64(len(sizes)),
        dims(*sizes),
        dims(sizes[1], 1),
        ctypes.c_int64(0),
        ctypes.c_int32(shim.aoti_torch_dtype_float32()),
        ctypes.c_int32(shim.aoti_torch_device_type_cpu()),
        ctypes.c_int32(0),
        ctypes.byref(handle),
        ctypes.c_int32(shim.aoti_torch_layout__mkldnn()),
        descriptor,
        ctypes.c_int64(len(descriptor)),
    )
    if status:
        raise RuntimeError(f"torch does not take a weight of {tuple(sizes)} in blocks of {BLOCK}")
    return torch._C._aoti.alloc_tensor_by_stealing_from_void_ptr(capsule(handle, None, None))


@functools.cache
def _shim() -> ctypes.CDLL:
    return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
