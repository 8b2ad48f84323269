"""The Open Inference Protocol (version 2) with its binary tensor extension: requests to arrays, outputs to bodies.

Pure. https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from __future__ import annotations

import re
import struct

from aotrun.arrays.array import Array, count, pack, unpack
from aotrun.arrays.dtypes import BY_NAME
from aotrun.formats.documents import NON_FINITE, dumps, numbers
from aotrun.serving.http import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

    from aotrun.arrays.dtypes import DType
    from aotrun.arrays.signature import Dim, Spec
    from aotrun.library.tensor import Tensor

    Piece = Union[bytes, memoryview]

#: Our types by the protocol's names. It has none for complex numbers, which keep torch's.
DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "BF16": "bfloat16",
    "FP32": "float32",
    "FP64": "float64",
    "COMPLEX64": "complex64",
    "COMPLEX128": "complex128",
}
_NAMES = {ours: theirs for theirs, ours in DATATYPES.items()}
_MAX_DIMS = 64
#: An id of printable ASCII without quotes and backslashes, so that any other one fits in its place.
_ID = re.compile(rb'"id"\s*:\s*"([ !#-\[\]-~]*)"')
#: Bytes; to share less memory than this takes longer than to copy it.
_COPIED = 1 << 16


class Plan:
    """What the JSON of a request says, apart from the numbers in it: the same for most requests of a client.

    Attributes:
        id: of the request; None when it has none.
        parameters: of the request.
        tensors: each input in the model's order.
        outputs: index of each wanted output and whether it goes out as bytes.
    """

    __slots__ = ("id", "outputs", "parameters", "tensors")

    def __init__(
        self,
        id: Optional[str],  # noqa: A002
        parameters: Dict[str, Any],
        tensors: List[Source],
        outputs: List[Tuple[int, bool]],
    ) -> None:
        self.id = id
        self.parameters = parameters
        self.tensors = tensors
        self.outputs = outputs

    @property
    def is_reusable(self) -> bool:
        """Whether it is of no request in particular, but for its id."""
        return not any(source.is_here for source in self.tensors)

    def with_id(self, id: str) -> Plan:  # noqa: A002
        """The plan of a request that is the same but for its id."""
        return Plan(id, self.parameters, self.tensors, self.outputs)

    def arrays(self, tail: memoryview) -> List[Array]:
        """The inputs, given what lies behind the JSON; memory is shared."""
        return [source.array(tail) for source in self.tensors]


class Source:
    """Where the elements of an input are: behind the JSON from `begin` to `end`, or in it.

    Attributes:
        dtype, shape: of the input.
    """

    __slots__ = ("_array", "_begin", "_end", "dtype", "shape")

    def __init__(self, dtype: DType, shape: Tuple[int, ...]) -> None:
        self.dtype = dtype
        self.shape = shape
        self._begin = 0
        self._end = 0
        self._array: Optional[Array] = None

    def behind(self, begin: int, end: int) -> Source:
        """The bytes there."""
        self._begin, self._end = begin, end
        return self

    def here(self, data: bytearray) -> Source:
        """These bytes."""
        self._array = Array(self.dtype, self.shape, data)
        return self

    @property
    def is_here(self) -> bool:
        """Whether the JSON holds it."""
        return self._array is not None

    def array(self, tail: memoryview) -> Array:
        """The input, given what lies behind the JSON."""
        return self._array or Array(self.dtype, self.shape, tail[self._begin : self._end])


def split_id(text: bytes) -> Tuple[bytes, Optional[str]]:
    """A request's JSON without what stands in quotes as its id, and that; None where nothing simple does."""
    found = _ID.search(text)
    if found is None:
        return text, None
    return text[: found.start(1)] + text[found.end(1) :], found[1].decode("ascii")


def is_the_only_id(text: bytes) -> bool:
    """Whether no other key in the JSON could be the id that `split_id` took for one."""
    return text.count(b'"id"') == 1 and b"\\" not in text


def parse(text: bytes, tail: int, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> Plan:
    """Read a request.

    Args:
        text: its JSON.
        tail: how many bytes of tensors lie behind it.
        inputs, outputs: the model's.

    Raises:
        Refused: it is malformed, or does not fit the model.
    """
    import json

    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the request is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise Refused(400, "the request is no JSON object")
    id_ = document.get("id")
    if id_ is not None and not isinstance(id_, str):
        raise Refused(400, "id is no string")
    parameters = _parameters(document, "the request")
    given = _by_name(document.get("inputs"), "inputs", [spec.name for spec in inputs])
    missing = [spec.name for spec in inputs if spec.name not in given]
    if missing:
        raise Refused(400, f"missing input {', '.join(missing)}; the model takes {_listed(inputs)}")
    # Binary data lies in the order in which the request lists its inputs.
    spec_of = {spec.name: spec for spec in inputs}
    sources: Dict[str, Source] = {}
    place = 0
    for name, entry in given.items():
        sources[name], place = _source(entry, spec_of[name], place)
    if place != tail:
        raise Refused(400, f"{tail} bytes lie behind the JSON, which speaks of {place}")
    _check_symbols(inputs, sources)
    wanted = _wanted(document, parameters, [spec.name for spec in outputs])
    return Plan(id_, parameters, [sources[spec.name] for spec in inputs], wanted)


def _parameters(entry: Mapping[str, Any], whose: str) -> Dict[str, Any]:
    parameters = entry.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Refused(400, f"the parameters of {whose} are no object")
    for name in ("shared_memory_region", "classification"):
        if name in parameters:
            raise Refused(400, f"{name} of {whose}: this server has no such extension")
    return parameters


def _by_name(entries: Any, what: str, known: Sequence[str]) -> Dict[str, Dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Refused(400, f"{what} is no list of objects")
    named: Dict[str, Dict[str, Any]] = {}
    for entry in entries:
        name = entry.get("name")
        if not isinstance(name, str) or name not in known:
            raise Refused(400, f"{what}: no {name!r} in the model; it has {', '.join(known) or 'none'}")
        if name in named:
            raise Refused(400, f"{what}: {name} is given twice")
        named[name] = entry
    return named


def _source(entry: Mapping[str, Any], spec: Spec, place: int) -> Tuple[Source, int]:
    """One input; and where the next one's bytes begin, when its own begin at `place`."""
    name = spec.name
    dtype = _dtype(entry.get("datatype"), spec)
    shape = entry.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_DIMS
        or not all(type(size) is int and 0 <= size < 1 << 63 for size in shape)
    ):
        raise Refused(400, f"input {name}: its shape is no list of sizes")
    _check_shape(shape, spec)
    source = Source(dtype, tuple(shape))
    nbytes = _parameters(entry, f"input {name}").get("binary_data_size")
    if nbytes is None:
        return source.here(_packed(entry.get("data"), dtype, shape, name)), place
    size = count(shape) * dtype.itemsize
    if "data" in entry:
        raise Refused(400, f"input {name} has data as well as binary_data_size")
    if type(nbytes) is not int or nbytes != size:
        raise Refused(400, f"input {name}: binary_data_size is {nbytes}; {dtype.name}{shape} takes {size} bytes")
    return source.behind(place, place + size), place + size


def _dtype(datatype: Any, spec: Spec) -> DType:
    named = DATATYPES.get(datatype) if isinstance(datatype, str) else None
    if named is None or (spec.dtype is not None and spec.dtype.name != named):
        takes = _NAMES[spec.dtype.name] if spec.dtype else " ".join(DATATYPES)
        raise Refused(400, f"input {spec.name}: datatype {datatype!r}; the model takes {takes}")
    return BY_NAME[named]


def _check_shape(shape: Sequence[int], spec: Spec) -> None:
    if spec.dims is None:
        return
    fits = len(shape) == len(spec.dims) and all(
        (dim.min is None or size >= dim.min) and (dim.max is None or size <= dim.max)
        for size, dim in zip(shape, spec.dims)
    )
    if not fits:
        raise Refused(400, f"input {spec.name} has shape {list(shape)}; the model takes {spec}")


def _check_symbols(inputs: Sequence[Spec], sources: Mapping[str, Source]) -> None:
    """Sizes of one symbol agree; the bridge says the same, but of a batch it would not know whose sizes they are."""
    sizes: Dict[str, Tuple[int, str]] = {}
    for spec in inputs:
        for size, dim in zip(sources[spec.name].shape, spec.dims or ()):
            if dim.symbol is None:
                continue
            other, whose = sizes.setdefault(dim.symbol, (size, spec.name))
            if other != size:
                raise Refused(400, f"{dim.symbol} is {other} in input {whose} and {size} in input {spec.name}")


def _packed(data: Any, dtype: DType, shape: Sequence[int], name: str) -> bytearray:
    """The bytes of JSON's numbers, which are flat or nested as the shape says."""
    if not isinstance(data, list):
        raise Refused(400, f"input {name} has neither data nor binary_data_size")
    values = data
    for size in shape[1:]:
        if not values or not isinstance(values[0], list):
            break
        if not all(isinstance(row, list) and len(row) == size for row in values):
            raise Refused(400, f"input {name}: data is not nested as shape {list(shape)} says")
        values = [value for row in values for value in row]
    if len(values) != count(shape):
        raise Refused(400, f"input {name}: {len(values)} numbers for shape {list(shape)}")
    try:
        if dtype.is_complex and values and isinstance(values[0], list):
            values = [complex(*pair) if isinstance(pair, list) and len(pair) == 2 else pair for pair in values]
        return pack(dtype, values)
    except (struct.error, OverflowError, TypeError, ValueError) as error:
        if dtype.is_float and any(isinstance(value, str) for value in values):
            return _packed([NON_FINITE.get(v) if isinstance(v, str) else v for v in values], dtype, shape, name)
        raise Refused(400, f"input {name}: data does not fit {dtype.name}: {error}") from None


def _wanted(document: Mapping[str, Any], parameters: Mapping[str, Any], names: List[str]) -> List[Tuple[int, bool]]:
    as_bytes = _switch(parameters, "binary_data_output", default=False)
    if document.get("outputs") is None:
        return [(index, as_bytes) for index in range(len(names))]
    asked = _by_name(document["outputs"], "outputs", names)
    return [
        (names.index(name), _switch(_parameters(entry, f"output {name}"), "binary_data", default=as_bytes))
        for name, entry in asked.items()
    ]


def _switch(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise Refused(400, f"{name} is neither true nor false")
    return value


def _listed(specs: Sequence[Spec]) -> str:
    return ", ".join(map(str, specs)) or "nothing"


class Rows:
    """An output, or the part of one that belongs to a request.

    Attributes:
        dtype, shape: of the part.
        data: its bytes.
    """

    __slots__ = ("data", "dtype", "shape")

    def __init__(self, dtype: DType, shape: Tuple[int, ...], data: Piece) -> None:
        self.dtype = dtype
        self.shape = shape
        self.data = data


def whole(tensor: Tensor) -> Rows:
    """All of an output; a large one shares its memory."""
    small = tensor.nbytes <= _COPIED
    return Rows(tensor.dtype, tensor.shape, tensor.to_bytes() if small else tensor.contiguous())


def parts(tensor: Tensor, spans: Sequence[Tuple[int, int]]) -> List[Rows]:
    """An output's rows, each span of them for itself."""
    dtype, shape = tensor.dtype, tensor.shape
    data = memoryview(tensor.to_bytes()) if tensor.nbytes <= _COPIED else tensor.contiguous()
    row = len(data) // shape[0]
    return [Rows(dtype, (end - begin, *shape[1:]), data[begin * row : end * row]) for begin, end in spans]


def answer(
    model: str, plan: Plan, names: Sequence[str], outputs: Sequence[Optional[Rows]]
) -> Tuple[bytes, List[Piece]]:
    """The JSON of an answer and the bytes that follow it; an output that is None is left out."""
    entries: List[str] = []
    tail: List[Piece] = []
    for index, as_bytes in plan.outputs:
        rows = outputs[index]
        if rows is None:
            continue
        datatype = _NAMES[rows.dtype.name]
        shape = ",".join(map(str, rows.shape))
        if as_bytes:
            tail.append(rows.data)
            rest = f'"parameters":{{"binary_data_size":{len(rows.data)}}}'
        else:
            rest = f'"data":{numbers(rows.dtype, unpack(rows.dtype, rows.data))}'
        entries.append(f'{{"name":{dumps(names[index])},"datatype":"{datatype}","shape":[{shape}],{rest}}}')
    id_ = "" if plan.id is None else f'"id":{dumps(plan.id)},'
    text = f'{{"model_name":{dumps(model)},"model_version":"1",{id_}"outputs":[{",".join(entries)}]}}'
    return text.encode("utf-8"), tail


def model_metadata(name: str, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> Dict[str, Any]:
    """The protocol's description of a model; a size that is not fixed is -1."""
    return {
        "name": name,
        "versions": ["1"],
        "platform": "pytorch_aotinductor",
        "inputs": [_tensor_metadata(spec) for spec in inputs],
        "outputs": [_tensor_metadata(spec) for spec in outputs],
    }


def _tensor_metadata(spec: Spec) -> Dict[str, Any]:
    # A package of plain PyTorch says nothing about it.
    datatype = "" if spec.dtype is None else _NAMES[spec.dtype.name]
    return {"name": spec.name, "datatype": datatype, "shape": [_size(dim) for dim in spec.dims or ()]}


def _size(dim: Dim) -> int:
    return dim.min if dim.min is not None and dim.min == dim.max else -1
