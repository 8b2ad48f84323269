"""Calls the same function of torch's C shim in libaot_slim.so and in libtorch_cpu.so and compares what they do.

Runs in the backend's environment, as it needs torch: `python slim_harness.py --library libaot_slim.so cumulative sort`.
Each module of cases/ registers generators of arguments; the oracle is torch's own implementation of the very same
function, so a case says nothing about results. Compared are the status, each output's dtype, sizes, strides, values and
whether it shares memory with an argument, and what became of the arguments themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import importlib
import json
import os
import random
import re
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

INCLUDE = Path(torch.__file__).parent / "include" / "torch" / "csrc" / "inductor" / "aoti_torch"
HEADERS = ("c/shim.h", "c/shim_cpu.h", "generated/c_shim_cpu.h", "generated/c_shim_aten.h")

DTYPES = {
    name: getattr(torch, name)
    for name in [
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint16",
        "uint32",
        "uint64",
        "float8_e4m3fn",
        "float8_e5m2",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ]
}
HALVES = (torch.float16, torch.bfloat16)
FLOATS = (torch.float32, torch.float64, *HALVES)
COMPLEX = (torch.complex64, torch.complex128)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
REAL = (*FLOATS, *INTEGERS)
NUMBERS = (*REAL, *COMPLEX)
ALL = (*NUMBERS, torch.bool)

# Relative and absolute, as a multiple of the dtype's epsilon.
TOLERANCE = {torch.float32: 64, torch.float64: 64, torch.complex64: 64, torch.complex128: 64}


class ShimError(Exception):
    """A shim function returned a failure."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of a shim function."""

    kind: str  # the C type without `const` and blanks
    name: str


def prototypes() -> dict[str, list[Parameter]]:
    """Every function of the shim's headers, by name."""
    found: dict[str, list[Parameter]] = {}
    for header in HEADERS:
        text = (INCLUDE / header).read_text()
        for name, parameters in re.findall(r"AOTI_TORCH_EXPORT\s+AOTITorchError\s+(\w+)\(([^)]*)\)", text):
            split = [p.rsplit(maxsplit=1) for p in re.sub(r"//[^\n]*", "", parameters).split(",") if p.strip()]
            found[name] = [
                Parameter(re.sub(r"\bconst\b|\s", "", kind) + "*" * part.count("*"), part.strip("*"))
                for kind, part in split
            ]
    return found


@dataclasses.dataclass(frozen=True)
class Packed:
    """A weight in a layout of oneDNN's."""

    sizes: tuple[int, ...]
    memory: torch.Tensor
    descriptor: bytes
    plain: torch.Tensor | None = None  # the same numbers, where they are asked for

    @classmethod
    def of(cls, by_torch: torch.Tensor) -> Packed:
        """What torch has packed, taken apart."""
        mkldnn = torch.ops.mkldnn
        memory = torch.empty(mkldnn._nbytes(by_torch), dtype=torch.int8)
        ctypes.memmove(memory.data_ptr(), mkldnn.data_ptr(by_torch), memory.nbytes)
        descriptor = bytes(mkldnn._get_mkldnn_serialized_md(by_torch).tolist())
        return cls(tuple(by_torch.shape), memory.view(by_torch.dtype), descriptor)

    @classmethod
    def in_panels(cls, by_torch: torch.Tensor, plain: torch.Tensor, columns: int, depth: int) -> Packed:
        """The same as a slim bundle has it: `plain` has the sizes that oneDNN knows, and each its part."""
        in_word = 4 // plain.itemsize
        blocks = {columns: 16, depth: in_word}
        padded = torch.nn.functional.pad(
            plain, [fill for d in reversed(range(plain.dim())) for fill in (0, -plain.shape[d] % blocks.get(d, 1))]
        )
        split, dims = padded, {}
        for d, size in enumerate(padded.shape):
            dims[d] = split.dim() - padded.dim() + d
            if d in blocks:
                split = split.unflatten(dims[d], (size // blocks[d], blocks[d]))
        order = [d for d in range(plain.dim()) if d != depth] + [depth]
        memory = split.permute(*(dims[d] for d in order), dims[columns] + 1, dims[depth] + 1).contiguous()
        strides = {order[at]: memory.stride(at) for at in range(len(order))}
        descriptor = bytearray(torch.ops.mkldnn._get_mkldnn_serialized_md(by_torch).tolist())
        struct.pack_into(f"<{plain.dim()}q", descriptor, 112, *padded.shape)
        struct.pack_into(f"<{plain.dim()}q", descriptor, 320, *(strides[d] for d in range(plain.dim())))
        inner = [(16, columns)] + [(in_word, depth)] * (in_word > 1)
        struct.pack_into("<q", descriptor, 416, len(inner))
        for at, values in zip((424, 520), zip(*inner, strict=True), strict=True):
            struct.pack_into("<12q", descriptor, at, *values, *[0] * (12 - len(values)))
        descriptor[640:768] = bytes(128)  # no sums lie behind it
        return cls(tuple(by_torch.shape), memory, bytes(descriptor))

    def as_float16(self, plain: torch.Tensor) -> Packed:
        """Of numbers of float16 that were packed as if they were bfloat16, which more processors have."""
        descriptor = bytearray(self.descriptor)
        struct.pack_into("<i", descriptor, 104, 1)  # as oneDNN numbers types
        return Packed(self.sizes, self.memory.view(torch.float16), bytes(descriptor), plain)


class Result:
    """An output or an argument after the call: a copy, and whether its memory is an argument's."""

    def __init__(self, tensor: torch.Tensor | None, shares: int | None) -> None:
        self.tensor = tensor
        self.shares = shares


class Shim:
    """A library that exports torch's C shim."""

    PROTOTYPES = prototypes()

    def __init__(self, path: str, inside: str | None = None) -> None:
        self.library = ctypes.CDLL(path, mode=os.RTLD_LOCAL)
        self.is_slim = hasattr(self.library, "slim_torch_device_type_cpu")
        self.inside = None if inside is None else ctypes.CDLL(inside).call_inside
        self.numbers = {dtype: int(self.function(f"aoti_torch_dtype_{name}")()) for name, dtype in DTYPES.items()}
        self.dtypes = {number: dtype for dtype, number in self.numbers.items()}

    def function(self, name: str) -> Any:
        """The C function, or an AttributeError when the library does not have it."""
        # The slim runtime has names of its own.
        return getattr(self.library, re.sub("^aoti_", "slim_", name) if self.is_slim else name)

    def seed(self, seed: int) -> None:
        """Start the library's generator of random numbers anew."""
        ours = getattr(self.library, "aot_slim_manual_seed", None)
        if ours is not None:
            ours(ctypes.c_uint64(seed))
        else:
            torch.manual_seed(seed)

    def check(self, status: int) -> None:
        """Turn a failure into an exception with its text, where the library gives one."""
        if status != 0:
            what = getattr(
                self.library, "slimt_exception_get_what" if self.is_slim else "torch_exception_get_what", None
            )
            if what is None:
                raise ShimError("failed")
            what.restype = ctypes.c_char_p
            raise ShimError(what().decode())

    def handle(self, tensor: torch.Tensor) -> ctypes.c_void_p:
        """A handle that borrows the tensor's memory."""
        made = ctypes.c_void_p()
        sizes = (ctypes.c_int64 * max(tensor.dim(), 1))(*tensor.shape)
        strides = (ctypes.c_int64 * max(tensor.dim(), 1))(*tensor.stride())
        self.check(
            self.function("aoti_torch_create_tensor_from_blob")(
                ctypes.c_void_p(tensor.untyped_storage().data_ptr()),
                ctypes.c_int64(tensor.dim()),
                sizes,
                strides,
                ctypes.c_int64(tensor.storage_offset()),
                ctypes.c_int32(self.numbers[tensor.dtype]),
                ctypes.c_int32(0),
                ctypes.c_int32(0),
                ctypes.byref(made),
            )
        )
        return made

    def packed(self, weight: Packed) -> ctypes.c_void_p:
        """A handle that borrows the memory of a packed weight, as a model's constants are made."""
        made = ctypes.c_void_p()
        sizes = (ctypes.c_int64 * len(weight.sizes))(*weight.sizes)
        self.check(
            self.function("aoti_torch_create_tensor_from_blob_v2")(
                ctypes.c_void_p(weight.memory.data_ptr()),
                ctypes.c_int64(len(weight.sizes)),
                sizes,
                sizes,  # the strides mean nothing
                ctypes.c_int64(0),
                ctypes.c_int32(self.numbers[weight.memory.dtype]),
                ctypes.c_int32(0),
                ctypes.c_int32(0),
                ctypes.byref(made),
                ctypes.c_int32(self.function("aoti_torch_layout__mkldnn")()),
                weight.descriptor,
                ctypes.c_int64(len(weight.descriptor)),
            )
        )
        return made

    def read(self, handle: ctypes.c_void_p) -> tuple[torch.Tensor | None, int]:
        """A copy of a handle's tensor, strides kept, and where its memory lies."""
        defined = ctypes.c_bool()
        self.check(self.function("aoti_torch_is_defined")(handle, ctypes.byref(defined)))
        if not defined.value:
            return None, 0
        dim = ctypes.c_int64()
        self.check(self.function("aoti_torch_get_dim")(handle, ctypes.byref(dim)))
        lists = []
        for what in ("sizes", "strides"):
            pointer = ctypes.POINTER(ctypes.c_int64)()
            self.check(self.function(f"aoti_torch_get_{what}")(handle, ctypes.byref(pointer)))
            lists.append([pointer[i] for i in range(dim.value)])
        sizes, strides = lists
        number = ctypes.c_int32()
        self.check(self.function("aoti_torch_get_dtype")(handle, ctypes.byref(number)))
        dtype = self.dtypes[number.value]
        data = ctypes.c_void_p()
        self.check(self.function("aoti_torch_get_data_ptr")(handle, ctypes.byref(data)))
        if 0 in sizes or data.value is None:  # nothing, or torch's zeros without memory
            return torch.empty_strided(sizes, strides, dtype=dtype).zero_(), 0
        extent = 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        raw = bytearray(ctypes.string_at(data.value, extent * dtype.itemsize))
        return torch.frombuffer(raw, dtype=dtype).as_strided(sizes, strides), data.value

    def call(self, name: str, arguments: dict[str, Any]) -> tuple[list[Result], list[Result]]:
        """Call `name` with copies of the tensors; returns its outputs, and the tensors and their memory after the call.

        An optional argument that is absent is passed as NULL. Raises ShimError.
        """
        call = Call(self)
        try:
            outputs: list[ctypes.c_void_p] = []
            values = []
            given = dict(arguments)
            for parameter in self.PROTOTYPES[name]:
                if re.fullmatch(r"ret\d+", parameter.name):
                    outputs.append(ctypes.c_void_p())
                    values.append(ctypes.byref(outputs[-1]))
                else:
                    values.append(call.marshal(parameter, given.pop(parameter.name, None)))
            assert not given, f"{name} has no parameters {sorted(given)}"
            if self.inside is None:
                status = self.function(name)(*values)
            else:
                status = self.inside(ctypes.CFUNCTYPE(ctypes.c_int)(lambda: self.function(name)(*values)))
            self.check(status)
            borrowed = len(call.handles)
            call.handles += [output for output in outputs if output.value is not None]
            results = []
            for output in outputs:
                tensor, address = self.read(output)
                results.append(Result(tensor, call.owner(address)))
            after = [Result(self.read(handle)[0], None) for handle in call.handles[:borrowed]]
            # Their whole memory too, since nothing may be written into gaps.
            return results, after + [Result(t.clone(), None) for t in call.copies.values()]
        finally:
            for handle in call.handles + call.packed:
                self.function("aoti_torch_delete_tensor_object")(handle)


class Call:
    """The arguments of one call as C wants them, and what must live as long as it runs."""

    PLAIN = {  # noqa: RUF012 - a constant
        "double": ctypes.c_double,
        "int64_t": ctypes.c_int64,
        "int32_t": ctypes.c_int32,
        "bool": ctypes.c_bool,
    }

    def __init__(self, shim: Shim) -> None:
        self.shim = shim
        self.copies: dict[int, torch.Tensor] = {}  # one for each storage, so that aliases stay aliases
        self.tensors: list[torch.Tensor] = []
        self.handles: list[ctypes.c_void_p] = []
        self.packed: list[ctypes.c_void_p] = []
        self.keep: list[Any] = []
        self.length = 0  # of the last list; its count is the next parameter

    def owner(self, address: int) -> int | None:
        """Which argument's memory this address is in."""
        for i, tensor in enumerate(self.tensors):
            storage = tensor.untyped_storage()
            if storage.data_ptr() <= address < storage.data_ptr() + storage.nbytes():
                return i
        return None

    def marshal(self, parameter: Parameter, value: Any) -> Any:
        """The value of one parameter; None is NULL."""
        kind, name = parameter.kind, parameter.name
        if kind == "AtenTensorHandle":
            return self.borrow(value)
        if name.endswith("_len_") or kind == "uint32_t":
            return ctypes.c_int64(self.length)
        if isinstance(value, Sequence) and not isinstance(value, str):
            self.length = len(value)
            # Two stars are an optional list, but for lists of optional tensors and, by their name, of optional numbers.
            if kind in ("int64_t**", "double**") and not name.endswith(("scalars", "post_op_args")):
                return self.pointer(ctypes.cast(self.array(kind[:-1], value), ctypes.c_void_p))
            return self.array(kind, value)
        if kind.endswith("*") and value is None:
            self.length = 0
            return None
        if kind.startswith("char"):
            text = ctypes.c_char_p(value.encode())
            return self.pointer(text) if kind == "char**" else text
        if isinstance(value, torch.dtype):
            value = self.shim.numbers[value]
        plain = self.borrow(value) if kind == "AtenTensorHandle*" else self.PLAIN[kind.rstrip("*")](value or 0)
        return self.pointer(plain) if kind.endswith("*") else plain

    def array(self, kind: str, values: Sequence[Any]) -> Any:
        """A list: of numbers, of tensors, or of pointers to what is optional."""
        if kind == "AtenTensorHandle*":
            elements = [None if v is None else self.borrow(v).value for v in values]
        elif kind == "AtenTensorHandle**":
            elements = [None if v is None else self.address(self.borrow(v)) for v in values]
        elif kind == "double**":
            elements = [None if v is None else self.address(ctypes.c_double(v)) for v in values]
        else:
            elements = list(values)
        element = {"int64_t*": ctypes.c_int64, "int32_t*": ctypes.c_int32, "double*": ctypes.c_double}
        array = (element.get(kind, ctypes.c_void_p) * max(len(elements), 1))(*elements)
        self.keep.append(array)
        return array

    def borrow(self, tensor: torch.Tensor | Packed) -> ctypes.c_void_p:
        """A handle of a copy: exactly as large as needed, so that a sanitizer sees the first byte read beyond it."""
        if isinstance(tensor, Packed):
            self.packed.append(self.shim.packed(tensor))
            return self.packed[-1]
        storage = tensor.untyped_storage()
        if storage._cdata not in self.copies:
            self.copies[storage._cdata] = torch.tensor([], dtype=tensor.dtype).set_(storage.clone())
        copied = self.copies[storage._cdata].as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        self.tensors.append(copied)
        self.handles.append(self.shim.handle(copied))
        return self.handles[-1]

    def address(self, value: Any) -> int:
        """Where the value lies."""
        self.keep.append(value)
        return ctypes.addressof(value)

    def pointer(self, value: Any) -> Any:
        """A pointer to the value."""
        self.keep.append(value)
        return ctypes.pointer(value)


class Generator:
    """Random arguments, the same for the same seed."""

    #: How often a tensor of indices has one that is out of range.
    BAD_INDICES = 0.1

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - not for secrets
        self.torch = torch.Generator().manual_seed(seed)

    def choice(self, values: Sequence[Any]) -> Any:
        """One of the values."""
        return self.random.choice(values)

    #: oneDNN without VNNI adds two products of bytes in sixteen bits, and is wrong beyond these.
    LARGEST_WEIGHT = 127 if re.search(r"avx(512)?_vnni", Path("/proc/cpuinfo").read_text()) else 31

    def weights(self, shape: list[int]) -> torch.Tensor:
        """int8 weights for quantised products that torch computes rightly on this processor."""
        largest = self.LARGEST_WEIGHT
        return torch.randint(-largest - 1, largest + 1, shape, generator=self.torch).to(torch.int8)

    def chance(self, probability: float) -> bool:
        """True that often."""
        return self.random.random() < probability

    def integer(self, low: int, high: int) -> int:
        """From low to high, both possible."""
        return self.random.randint(low, high)

    def shape(
        self, ranks: Sequence[int] = (0, 1, 1, 2, 2, 3, 4), *, empty: bool = True, large: bool = True
    ) -> list[int]:
        """Sizes of a few hundred elements; now and then none at all, or enough for several threads."""
        rank = self.choice(ranks)
        if large and rank in (1, 2) and self.chance(0.06):
            return [70001] if rank == 1 else self.choice([[300, 251], [2, 40000], [40000, 2]])
        return [self.choice((1, 2, 3, 4, 5, 8, 17) if not (empty and self.chance(0.05)) else (0,)) for _ in range(rank)]

    def values(self, shape: Sequence[int], dtype: torch.dtype, *, special: bool | None = None) -> torch.Tensor:
        """Contiguous values: few different ones at times, so that ties happen; NaN, infinities and -0.0 at times."""
        if dtype == torch.bool:
            return torch.randint(0, 2, shape, generator=self.torch).bool()
        if not (dtype.is_floating_point or dtype.is_complex):
            few = self.chance(0.5)
            info = torch.iinfo(dtype)
            low, high = (max(info.min, -5), 6) if few else (max(info.min, -(2**31)), min(info.max, 2**31))
            return torch.randint(low, high, shape, generator=self.torch).to(dtype)
        if dtype.is_complex:
            part = torch.float32 if dtype == torch.complex64 else torch.float64
            return torch.complex(*(self.values(shape, part, special=special) for _ in range(2)))
        few = self.chance(0.3)
        x = torch.randn(shape, generator=self.torch, dtype=torch.float64)
        x = (x.round() if few else x).to(dtype)
        if special is None:
            special = self.chance(0.3)
        if special and x.numel() > 0:
            for value in (float("nan"), float("inf"), float("-inf"), -0.0, 0.0):
                if self.chance(0.5):
                    where = torch.randint(0, x.numel(), (1 + x.numel() // 10,), generator=self.torch)
                    x.view(-1)[where] = value
        return x

    def arranged(self, x: torch.Tensor) -> torch.Tensor:
        """The same values in memory of another order: transposed, with gaps, at an offset, channels last."""
        layout = self.choice(["contiguous", "contiguous", "permuted", "gaps", "offset", "channels_last"])
        if x.dim() == 0:
            return x
        if layout == "permuted":
            order = self.random.sample(range(x.dim()), x.dim())
            back = [order.index(d) for d in range(x.dim())]
            return x.permute(order).contiguous().permute(back)
        if layout == "gaps":
            room = torch.zeros([size * 2 + 1 for size in x.shape], dtype=x.dtype)
            view = room[tuple(slice(1, None, 2) for _ in x.shape)]
            view.copy_(x)
            return view
        if layout == "offset":
            room = torch.zeros(x.numel() + 3, dtype=x.dtype)
            room[3:] = x.reshape(-1)
            return room[3:].view(x.shape)
        if layout == "channels_last" and x.dim() in (4, 5):
            return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
        return x.contiguous()

    def tensor(
        self,
        dtypes: Sequence[torch.dtype] | torch.dtype,
        shape: Sequence[int] | None = None,
        *,
        special: bool | None = None,
        expanded: bool = True,
    ) -> torch.Tensor:
        """A tensor of one of the dtypes, of any memory layout; `expanded` allows strides of 0."""
        dtype = dtypes if isinstance(dtypes, torch.dtype) else self.choice(dtypes)
        shape = self.shape() if shape is None else list(shape)
        if expanded and shape and 0 not in shape and self.chance(0.1):
            d = self.integer(0, len(shape) - 1)
            return self.values([*shape[:d], 1, *shape[d + 1 :]], dtype, special=special).expand(shape)
        return self.arranged(self.values(shape, dtype, special=special))

    def indices(self, shape: Sequence[int], size: int, *, negative: bool = False, bad: bool = True) -> torch.Tensor:
        """int64 indices into a dim of `size`; now and then one that is out of range."""
        low = -size if negative else 0
        x = torch.randint(low, max(size, low + 1), list(shape), generator=self.torch)
        return self.arranged(self.spoiled(x, size, low) if bad else x)

    def spoiled(self, x: torch.Tensor, size: int, low: int = 0) -> torch.Tensor:
        """Contiguous indices from `low` to `size`, exclusive; now and then one of them is made to be out of range."""
        if x.numel() and self.chance(self.BAD_INDICES):
            distance = self.choice([0, 1, self.integer(2, 1000), 2**31 - 1 - size, 2**40])
            x.view(-1)[self.integer(0, x.numel() - 1)] = size + distance if self.chance(0.5) else low - 1 - distance
        return x

    def dim(self, x: torch.Tensor) -> int:
        """A dim of x, from the front or from the back."""
        rank = max(x.dim(), 1)
        return self.integer(-rank, rank - 1)


@dataclasses.dataclass(frozen=True)
class Case:
    """How to draw the arguments of one shim function and what to compare."""

    function: str
    arguments: Callable[[Generator], dict[str, Any]]
    draws: int
    tolerance: float  # multiplies the default tolerance
    check: Callable[[dict[str, Any], list[torch.Tensor], list[torch.Tensor]], str | None] | None  # instead of equality
    serves_more: bool  # slim may succeed where torch raises
    widens: bool  # where torch has no numbers of 16 bits on this processor, its float32 is compared with


CASES: list[Case] = []


def case(
    function: str,
    *,
    draws: int = 60,
    tolerance: float = 1,
    check: Callable[[dict[str, Any], list[torch.Tensor], list[torch.Tensor]], str | None] | None = None,
    serves_more: bool = False,
    widens: bool = False,
) -> Callable[[Callable[[Generator], dict[str, Any]]], Callable[[Generator], dict[str, Any]]]:
    """Register a generator of arguments for `aoti_torch_<function>`."""

    def register(arguments: Callable[[Generator], dict[str, Any]]) -> Callable[[Generator], dict[str, Any]]:
        # oneDNN's own functions refuse bfloat16 on a processor without instructions for it.
        more = serves_more or ("pointwise" in function and not torch.ops.mkldnn._is_mkldnn_bf16_supported())
        CASES.append(Case(f"aoti_torch_{function}", arguments, draws, tolerance, check, more, widens))
        return arguments

    return register


def differs(got: torch.Tensor, expected: torch.Tensor, tolerance: float, strides: bool = True) -> str | None:
    """What sets two tensors apart, or None."""
    if got.dtype != expected.dtype:
        return f"dtype {got.dtype}, torch {expected.dtype}"
    if got.shape != expected.shape:
        return f"shape {list(got.shape)}, torch {list(expected.shape)}"
    if strides and got.numel() > 0:
        pairs = [(a, b) for a, b, size in zip(got.stride(), expected.stride(), got.shape, strict=True) if size > 1]
        if any(a != b for a, b in pairs):
            return f"strides {got.stride()}, torch {expected.stride()} of shape {list(got.shape)}"
    if not (got.dtype.is_floating_point or got.dtype.is_complex):
        wrong = got != expected
    else:
        epsilon = torch.finfo(got.dtype).eps
        multiple = TOLERANCE.get(got.dtype, 2) * tolerance * epsilon
        if got.dtype.itemsize == 1:  # which torch does not compare
            got, expected = got.float(), expected.float()
        wrong = ~torch.isclose(got, expected, rtol=multiple, atol=multiple, equal_nan=True)
    if bool(wrong.any()):
        where = wrong.nonzero()[0].tolist() if wrong.dim() else []
        at = tuple(where)
        return f"{int(wrong.sum())} of {wrong.numel()} values differ: at {where} {got[at]}, torch {expected[at]}"
    return None


def describe(value: Any) -> str:
    """An argument in a line."""
    if isinstance(value, torch.Tensor):
        shown = f" {value.tolist()}" if value.numel() <= 12 else ""
        return f"{value.dtype}{list(value.shape)}{list(value.stride())}{shown}".replace("torch.", "")
    if isinstance(value, list):
        return "[" + ", ".join(describe(v) for v in value) + "]"
    return repr(value)


@dataclasses.dataclass(frozen=True)
class Draw:
    """What came of one draw: what went wrong, and whether torch served it, so that there was something to compare."""

    problem: str | None
    served: bool


def in_float32(case: Case, shim: Shim, arguments: dict[str, Any]) -> tuple[list[Result], list[Result]]:
    """What torch gives in float32 for the same numbers of 16 bits, rounded to those; nothing of the arguments.

    Raises ShimError.
    """
    narrow = next(value.dtype for value in arguments.values() if isinstance(value, torch.Tensor))

    def widened(value: Any) -> Any:
        given = value.plain if isinstance(value, Packed) else value
        return given.float() if isinstance(given, torch.Tensor) and given.dtype in HALVES else given

    results, _ = shim.call(case.function, {name: widened(value) for name, value in arguments.items()})
    for result in results:
        result.tensor = None if result.tensor is None else result.tensor.to(narrow)
    return results, []


def run(case: Case, slim: Shim, reference: Shim, seed: int) -> Draw:
    """One draw of a case."""
    arguments = case.arguments(Generator(seed))

    def call(shim: Shim) -> tuple[list[Result], list[Result]] | ShimError:
        shim.seed(seed)
        try:
            return shim.call(case.function, arguments)
        except ShimError as error:
            with contextlib.suppress(ShimError):
                if case.widens and shim is reference:
                    return in_float32(case, shim, arguments)
            return error

    got, expected = call(slim), call(reference)
    problem: str | None = None
    if isinstance(got, ShimError) or isinstance(expected, ShimError):
        if isinstance(got, ShimError) and not isinstance(expected, ShimError):
            problem = f"fails where torch does not: {got}"
        elif not isinstance(got, ShimError) and not case.serves_more:
            problem = "succeeds where torch raises"
    elif case.check is not None:
        outputs = [[r.tensor for r in side[0] + side[1] if r.tensor is not None] for side in (got, expected)]
        problem = case.check(arguments, outputs[0], outputs[1])
    else:
        after = got[1] if expected[1] else []
        for kind, ours, theirs in (("output", got[0], expected[0]), ("argument", after, expected[1])):
            for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
                if (a.tensor is None) != (b.tensor is None) or a.shares != b.shares:
                    found = f"shares memory with argument {a.shares}, torch {b.shares}"
                elif a.tensor is None or b.tensor is None:
                    continue
                else:
                    found = differs(a.tensor, b.tensor, case.tolerance) or ""
                if found and problem is None:
                    problem = f"{kind} {i}: {found}"
    served = not isinstance(expected, ShimError)
    if problem is None:
        return Draw(None, served)
    drawn = ", ".join(f"{name}={describe(value)}" for name, value in arguments.items())
    return Draw(f"seed {seed}: {problem}\n    {drawn}", served)


def main() -> int:
    """Print `{module: {function: [failures]}}` as JSON; exit status 1 when there are any.

    A case of which torch serves no draw compares nothing: that is a failure, unless the indices are worse than usual.
    Of fewer draws than the case asks for, the last may be one more: the first that torch serves.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("modules", nargs="+")
    parser.add_argument("--library", required=True)
    parser.add_argument("--only", help="a substring of the functions' names")
    parser.add_argument("--draws", type=float, default=1, help="multiplies the number of draws")
    parser.add_argument("--bad-indices", type=float, default=Generator.BAD_INDICES, help="how often there are some")
    parser.add_argument("--inside", help="a library of inside_region.c: call from inside a parallel region")
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw; the others follow")
    parser.add_argument("--seed", type=int, help="one draw alone")
    options = parser.parse_args()
    torch.set_num_threads(2)
    usual, Generator.BAD_INDICES = Generator.BAD_INDICES, options.bad_indices
    slim = Shim(options.library, options.inside)
    reference = Shim(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    for module in options.modules:
        importlib.import_module(f"cases.{module}")
    compares = options.seed is None and options.bad_indices <= usual
    failures: dict[str, dict[str, list[str]]] = {module: {} for module in options.modules}
    for each in CASES:
        module = each.arguments.__module__.rpartition(".")[2]  # one that was asked for, or that such a one imports
        if module not in failures or (options.only and options.only not in each.function):
            continue
        count = 1 if options.seed is not None else max(1, round(each.draws * options.draws))
        first = options.first if options.seed is None else options.seed
        print(f"{each.function}", file=sys.stderr, flush=True)
        draws = [run(each, slim, reference, first + number) for number in range(count)]
        while compares and not any(draw.served for draw in draws) and len(draws) < each.draws:
            draws.append(run(each, slim, reference, first + len(draws)))
        found = [draw.problem for draw in draws if draw.problem is not None]
        if compares and not any(draw.served for draw in draws):
            found.append(f"torch raises in each of {len(draws)} draws, so that nothing was compared")
        failures[module].setdefault(each.function, []).extend(found)
    for functions in failures.values():
        if not functions and (options.only is None or not any(failures.values())):
            functions[""] = ["no case was drawn"]
    json.dump(failures, sys.stdout, indent=1)
    return 1 if any(found for functions in failures.values() for found in functions.values()) else 0


if __name__ == "__main__":
    sys.modules["slim_harness"] = sys.modules["__main__"]  # the cases register with this very module
    sys.exit(main())
