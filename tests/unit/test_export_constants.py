"""How the exporter learns where the weights lie."""

from __future__ import annotations

import msgspec

from aotpack.export_worker.constants import describe
from aotpack.metadata import Constant, ModelMetadata


def info(index: int, **fields: str) -> str:
    given = {
        "name": '"weight"',
        "offset": "0",
        "from_folded": "false",
        "shape": "{2, 3}",
        "stride": "{3, 1}",
        "layout": "static_cast<int32_t>(cached_torch_layout_strided)",
        "original_fqn": '"a; b = c"',
    }
    return "".join(f"    constants_info_[{index}].{key} = {value};\n" for key, value in {**given, **fields}.items())


def test_shapes_in_the_order_of_the_blob() -> None:
    text = info(0) + info(1, shape="{4L}", stride="{1L}") + info(2, shape="{}", stride="{}")
    assert describe(text) == [
        {"shape": [2, 3], "offset": 0},
        {"shape": [4], "offset": 0},
        {"shape": [], "offset": 0},
    ]


def test_orders_and_offsets_of_their_own() -> None:
    assert describe(info(0, stride="{1, 2}", offset="5")) == [{"shape": [2, 3], "offset": 5, "strides": [1, 2]}]
    assert describe(info(0, shape="{0, 3}", stride="{3, 1}")) == [{"shape": [0, 3], "offset": 0}]


def test_folded_constants_are_not_in_the_blob() -> None:
    assert describe(info(0, from_folded="true") + info(1)) == [{"shape": [2, 3], "offset": 0}]


def test_packed_weights_cannot_be_used_where_they_lie() -> None:
    packed = info(1, layout="static_cast<int32_t>(cached_torch_layout__mkldnn)")
    assert describe(info(0) + packed) == []
    assert describe("int main() {}") == []


def test_the_metadata_takes_it() -> None:
    constants = describe(info(0) + info(1, stride="{1, 2}"))
    metadata = msgspec.convert({"constants": constants}, ModelMetadata)
    assert metadata.constants == (Constant((2, 3)), Constant((2, 3), strides=(1, 2)))
