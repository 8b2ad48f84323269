"""What aotpack writes into a package at export and into `models/NAME/model.json` of a bundle. Pure: no disk.

The same document travels three ways: as the value of the key `aotpack` in AOTInductor's metadata (a JSON string),
as `models/NAME/model.json`, and as the answer of `aot_model_metadata()`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

#: Grows when a field changes meaning; new fields may appear without it.
#: 2: `constants` may be packed. 3: `guards` must hold as well. 4: constants say where they lie, and there are variants.
SCHEMA = 4

#: The file that a model's weights lie in where nothing else is said.
WEIGHTS = "weights.blob"
#: The file of a model's code where nothing else is said.
LIBRARY = "model.so"

#: torch dtype names without the `torch.` prefix, as used in signatures and in JSON inputs.
DTYPES: tuple[str, ...] = (
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)


class DynamicDim(msgspec.Struct, frozen=True, omit_defaults=True):
    """A size that may differ between calls. Dims of the same symbol agree among all inputs of a call.

    A derived size is `factor` times the value of the symbol `of`, plus `offset`; its own symbol is that as text. `of`
    need not be the symbol of any dim.
    """

    symbol: str
    min: int = 0
    #: None when unbounded.
    max: int | None = None
    of: str | None = None
    factor: int = 1
    offset: int = 0


#: A fixed size, a dynamic one, or (outputs only) None: known after the run.
Dim = int | DynamicDim | None


class TensorSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input or output, in call order."""

    name: str
    dtype: str
    dims: tuple[Dim, ...]
    #: Of an input: whether the model writes into it in place; None in packages that do not say.
    mutated: bool | None = None

    @property
    def words(self) -> str:
        """For a person: `x: float32[n=1..8, 3]`."""
        return f"{self.name}: {self.dtype}[{', '.join(map(_dim, self.dims))}]"


def _dim(dim: Dim) -> str:
    if isinstance(dim, DynamicDim):
        return f"{dim.symbol}={dim.min}..{'' if dim.max is None else dim.max}"
    return "?" if dim is None else str(dim)


class Guard(msgspec.Struct, frozen=True):
    """A condition on the sizes of a call that no range says, such as "a multiple of 6"."""

    #: In the language of aotpack.exporting.worker.graph.guard_language, over the symbols of input dims (`of` of a
    #: derived one); the bridge, which evaluates it, refuses what is no expression.
    that: list[Any]
    #: The same for a person.
    text: str


class Floors(msgspec.Struct, frozen=True, omit_defaults=True):
    """The oldest system libraries a file accepts: versions such as `2.34`, or None when it asks for none."""

    glibc: str | None = None
    glibcxx: str | None = None


class Convolution(msgspec.Struct, frozen=True, omit_defaults=True):
    """What oneDNN chooses the order of a convolution's weight by, beside the CPU and the weight's own sizes."""

    #: Each with a number for each spatial dim.
    padding: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    #: Sizes of the input at export; None where oneDNN is not told.
    input: tuple[int, ...] | None = None
    #: Of a transposed convolution.
    output_padding: tuple[int, ...] | None = None


class Constant(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one weight lies in a file of weights."""

    shape: tuple[int, ...]
    #: In elements; None for C order.
    strides: tuple[int, ...] | None = None
    #: Elements of its storage before the first one.
    offset: int = 0
    #: For one that oneDNN has packed: which of `layouts` it is in. Strides and offset mean nothing then.
    layout: int | None = None
    #: Its first byte in its file, and how many there are, filling included; None: behind the one before it.
    begin: int | None = None
    size: int | None = None
    #: Which of the model's `weights`.
    file: int = 0
    #: Of a convolution's weight that oneDNN has packed: how another CPU packs it for itself.
    convolution: Convolution | None = None
    #: Of the bytes of such a weight: by it a machine knows what it has packed before.
    sha256: str | None = None


class Variant(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of several compiled forms of a model: all have its signature, and differ in what they ask for."""

    #: Such as `baseline`, `avx2`, `cuda`.
    name: str
    #: The file of its code: beside `model.json`, or in a package below `aotpack/` but for the package's own.
    library: str = LIBRARY
    #: Where its files lie below the model's folder; empty: there. Of a bundle alone.
    folder: str = ""
    device: str = "cpu"
    cpu_features: tuple[str, ...] = ()
    gpu_archs: tuple[str, ...] = ()
    floors: Floors = msgspec.field(default_factory=Floors)
    #: Which of the model's constants its code has, in its order; None for all of them.
    constants: tuple[int, ...] | None = None


class PackedWeight(msgspec.Struct, frozen=True, omit_defaults=True):
    """A constant that oneDNN has packed."""

    #: Which of `constants`.
    constant: int
    #: Its first byte in its file.
    begin: int
    #: Where nothing but linear layers multiplies by it: on how many rows, at most, at the example's sizes; 0 where that
    #: is not known.
    rows: int | None = None


class LayerPrecision(msgspec.Struct, frozen=True):
    """How many layers of a kind are computed in one precision."""

    #: `linear layer`, `convolution`, `embedding` or `recurrent layer`.
    kind: str
    #: `float32`, `bfloat16`, ...; `int8` for products of bytes by bytes; `int8 weights`, `int4 weights`,
    #: `float8_e4m3fn weights` for weights that are stored so and meet activations of floats.
    precision: str
    count: int


def precision_lines(layers: tuple[LayerPrecision, ...]) -> list[str]:
    """A sentence for each kind: `24 of 24 linear layers int8`, `22 of 24 linear layers int8, 2 float32`."""
    lines = []
    for kind in dict.fromkeys(layer.kind for layer in layers):
        some = sorted((layer for layer in layers if layer.kind == kind), key=lambda layer: -layer.count)
        total = sum(layer.count for layer in some)
        parts = [f"{some[0].count} of {total} {kind}{'' if total == 1 else 's'} {some[0].precision}"]
        lines.append(", ".join(parts + [f"{layer.count} {layer.precision}" for layer in some[1:]]))
    return lines


#: What is to be known of layers of int8 on a CPU: whether a package has a variant for it says nothing of them.
OF_INT8 = "layers of int8 that are the runtime's use VNNI or AMX where the CPU has it, in every variant"


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """The document described in docs/bundle-format.md under "model.json"."""

    schema: int = SCHEMA
    #: Of a package made by plain PyTorch, whose signature is not recorded anywhere: the inputs that its code checks, or
    #: none when they cannot be told.
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    #: What the sizes of a call must satisfy beside the ranges of `inputs`.
    guards: tuple[Guard, ...] = ()
    #: Whether the signature is known in full, outputs and names included.
    has_signature: bool = True
    #: `cpu`, `cuda` or `rocm`.
    device: str = "cpu"
    #: torch's full version, such as `2.13.0+cpu`; None when unknown.
    torch_version: str | None = None
    #: First line of `c++ --version` at export.
    compiler: str | None = None
    #: uname machine of the code, such as `x86_64`.
    machine: str = "x86_64"
    #: CPU features the code needs, lower case, such as `("avx2", "fma")`; empty for the baseline.
    cpu_features: tuple[str, ...] = ()
    #: GPU code inside: `sm_90`, `gfx90a`, ...; empty for a CPU model.
    gpu_archs: tuple[str, ...] = ()
    #: Of the weights in the order of `weights.blob`, so that a CPU can use them where they are mapped; those of all
    #: variants. Empty when that is not known or not possible: then they are copied.
    constants: tuple[Constant, ...] = ()
    #: The files that constants lie in, relative to the folder of `model.json`: another model's where both have them.
    weights: tuple[str, ...] = (WEIGHTS,)
    #: The least demanding first, of which `device`, `cpu_features`, `gpu_archs` and `floors` tell; empty where the
    #: model has one form only.
    variants: tuple[Variant, ...] = ()
    #: oneDNN's descriptors of packed constants as it writes them down, in hexadecimal.
    layouts: tuple[str, ...] = ()
    packed_weights: tuple[PackedWeight, ...] = ()
    #: Buffers that a call changes, by the module's names: what a session has of its own. None where nobody says.
    state: tuple[str, ...] | None = None
    #: Whether packed constants lie in other layouts than the model's code says.
    rearranged: bool = False
    #: The kind of CPU, as `torch.backends.cpu.get_cpu_capability()` calls it, on which oneDNN packed weights, in the
    #: order that suits it; None where there are none, or nobody said.
    packed_on: str | None = None
    #: Whose order weights of four bits lie in, as `torch.backends.cpu.get_cpu_capability()` calls that kind of CPU;
    #: None where there are none.
    int4_order: str | None = None
    floors: Floors = msgspec.field(default_factory=Floors)
    #: In which precision layers with weights are computed; empty where that is not known.
    precision: tuple[LayerPrecision, ...] = ()
    #: Whether constants were folded and packed at export, so that they may have lost their names and shapes.
    frozen: bool = False
    #: What whoever built the bundle says of the model, such as a sample rate.
    metadata: dict[str, bool | int | float | str] = {}
    #: What the export could not do as asked, one sentence each, such as dynamic shapes that became fixed.
    notes: tuple[str, ...] = ()
    aotpack_version: str | None = None

    @property
    def layer_lines(self) -> list[str]:
        """What a person wants to know of the layers' precision."""
        lines = precision_lines(self.precision)
        if self.device == "cpu" and any(layer.precision == "int8" for layer in self.precision):
            lines.append(OF_INT8)
        return lines

    def __post_init__(self) -> None:
        """Raises ValueError where the document contradicts itself."""
        if not all(re.fullmatch("(?:[0-9a-f]{2})*", layout) for layout in self.layouts):
            raise ValueError("a layout is not hexadecimal")
        for constant in self.constants:
            if constant.layout is not None and not 0 <= constant.layout < len(self.layouts):
                raise ValueError(f"a constant is in layout {constant.layout} of {len(self.layouts)}")
            if not 0 <= constant.file < len(self.weights):
                raise ValueError(f"a constant is in file {constant.file} of {len(self.weights)}")
        for arch in self.gpu_archs + tuple(arch for variant in self.variants for arch in variant.gpu_archs):
            if not _GPU_CODE.fullmatch(arch):
                raise ValueError(f"{arch!r} is no GPU that code can be for")
        for variant in self.variants:
            if not all(0 <= index < len(self.constants) for index in variant.constants or ()):
                raise ValueError(f"variant {variant.name} has a constant that there is not")
            if not _is_name(variant.library) or (variant.folder and not _is_name(variant.folder)):
                raise ValueError(f"variant {variant.name} lies in {variant.folder}/{variant.library}")
        last = PackedWeight(-1, 0)
        for weight in self.packed_weights:
            if not last.constant < weight.constant < len(self.constants) or weight.begin < last.begin:
                raise ValueError(f"packed constant {weight.constant} of {len(self.constants)} at {weight.begin}")
            last = weight


#: What code for GPUs is called after: NVIDIA's `sm_90a` and the PTX `compute_80`, or others' words (`gfx90a:xnack+`).
_GPU_CODE = re.compile(r"(?:sm|compute)_[0-9]{2,3}[af]?|(?!sm_|compute_)[0-9A-Za-z_-]+(?::[0-9A-Za-z_]+[-+]?)*")


def _is_name(text: str) -> bool:
    """Whether it names a file, and no place elsewhere."""
    return text not in ("", ".", "..") and text.isprintable() and "/" not in text
