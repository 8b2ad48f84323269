"""How the exporter learns where the weights lie."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from aotpack.exporting.worker.variants.constants import describe
from aotpack.package.metadata import Constant, Convolution, ModelMetadata, PackedWeight


def info(index: int, **fields: str) -> str:
    given = {
        "name": '"weight"',
        "offset": "0",
        "data_size": "64",
        "from_folded": "false",
        "shape": "{2, 3}",
        "stride": "{3, 1}",
        "layout": "static_cast<int32_t>(cached_torch_layout_strided)",
        "original_fqn": '"a; b = c"',
    }
    return "".join(f"    constants_info_[{index}].{key} = {value};\n" for key, value in {**given, **fields}.items())


def packed(index: int, **fields: str) -> str:
    layout = "static_cast<int32_t>(cached_torch_layout__mkldnn)"
    return info(index, **{"layout": layout, "stride": "{1, 0}", "opaque_metadata": "{1L, 255L, 16L}", **fields})


def constants(text: str) -> list[dict[str, Any]]:
    """How they lie; where is another matter."""
    return [
        {key: value for key, value in constant.items() if key not in ("begin", "size")}
        for constant in describe(text, {}, {})["constants"]
    ]


def test_one_lies_behind_the_other() -> None:
    text = info(0, data_size="128") + info(1, from_folded="true", data_size="4") + info(2)
    places = [(constant["begin"], constant["size"]) for constant in describe(text, {}, {})["constants"]]
    assert places == [(0, 128), (128, 64)]


def test_shapes_in_the_order_of_the_blob() -> None:
    text = info(0) + info(1, shape="{4L}", stride="{1L}") + info(2, shape="{}", stride="{}")
    assert constants(text) == [
        {"shape": [2, 3], "offset": 0},
        {"shape": [4], "offset": 0},
        {"shape": [], "offset": 0},
    ]


def test_orders_and_offsets_of_their_own() -> None:
    assert constants(info(0, stride="{1, 2}", offset="5")) == [{"shape": [2, 3], "offset": 5, "strides": [1, 2]}]
    assert constants(info(0, shape="{0, 3}", stride="{3, 1}")) == [{"shape": [0, 3], "offset": 0}]


def test_folded_constants_are_not_in_the_blob() -> None:
    assert constants(info(0, from_folded="true") + info(1)) == [{"shape": [2, 3], "offset": 0}]


def test_packed_weights_say_in_which_layout_they_are() -> None:
    text = info(0) + packed(1) + packed(2, opaque_metadata="{2L}") + packed(3)
    assert constants(text) == [
        {"shape": [2, 3], "offset": 0},
        {"shape": [2, 3], "offset": 0, "layout": 0},
        {"shape": [2, 3], "offset": 0, "layout": 1},
        {"shape": [2, 3], "offset": 0, "layout": 0},
    ]
    document = describe(text, {}, {})
    assert document["layouts"] == ["01ff10", "02"]
    assert document["packed_weights"] == [
        {"constant": 1, "begin": 64},
        {"constant": 2, "begin": 128},
        {"constant": 3, "begin": 192},
    ]


def test_weights_of_linear_layers_say_on_how_many_rows() -> None:
    text = info(0) + packed(1, name='"a"') + info(2, from_folded="true") + packed(3) + packed(4, name='"b"')
    assert describe(text, {"a": 128, "b": 0, "gone": 5}, {})["packed_weights"] == [
        {"constant": 1, "begin": 64, "rows": 128},
        {"constant": 2, "begin": 128},
        {"constant": 3, "begin": 192, "rows": 0},
    ]


CONVOLUTION = {"padding": [1], "stride": [2], "dilation": [1], "groups": 3, "input": [1, 6, 9]}


def test_weights_of_convolutions_say_how_those_work() -> None:
    text = info(0, name='"w"') + packed(1, name='"a"') + packed(2)
    document = describe(text, {}, {"w": CONVOLUTION, "a": CONVOLUTION, "gone": CONVOLUTION})
    assert [constant.get("convolution") for constant in document["constants"]] == [None, CONVOLUTION, None]
    metadata = msgspec.convert(document, ModelMetadata)
    assert metadata.constants[1].convolution == Convolution((1,), (2,), (1,), 3, (1, 6, 9))


def test_a_layout_that_is_not_known_leaves_them_to_be_copied() -> None:
    assert describe(info(0) + info(1, layout="static_cast<int32_t>(cached_torch_layout_sparse_coo)"), {}, {}) == {}


def test_the_metadata_takes_it() -> None:
    document = describe(info(0) + info(1, stride="{1, 2}") + packed(2, name='"w"'), {"w": 7}, {})
    metadata = msgspec.convert(document, ModelMetadata)
    assert metadata.constants == (
        Constant((2, 3), begin=0, size=64),
        Constant((2, 3), strides=(1, 2), begin=64, size=64),
        Constant((2, 3), layout=0, begin=128, size=64),
    )
    assert metadata.layouts == ("01ff10",)
    assert metadata.packed_weights == (PackedWeight(2, 128, 7),)


@pytest.mark.parametrize(
    "document",
    [
        {"layouts": ["xy"]},
        {"layouts": ["00 FF"]},
        {"layouts": ["000"]},
        {"constants": [{"shape": [2], "layout": 0}]},
        {"constants": [{"shape": [2], "layout": -1}], "layouts": ["00"]},
        {"constants": [{"shape": [2], "file": 1}]},
        {"constants": [{"shape": [2]}], "variants": [{"name": "avx2", "constants": [1]}]},
        {"variants": [{"name": "avx2", "library": "../model.so"}]},
        {"variants": [{"name": "avx2", "folder": ".."}]},
        {"packed_weights": [{"constant": 0, "begin": 0, "rows": 1}]},
        {"constants": [{"shape": [2]}], "packed_weights": [{"constant": 0, "begin": 0}, {"constant": 0, "begin": 64}]},
        {"constants": [{"shape": [2]}], "packed_weights": [{"constant": 0, "begin": -1, "rows": 1}]},
    ],
)
def test_metadata_that_contradicts_itself_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, ModelMetadata)
