"""Requests and answers of the Open Inference Protocol, by the published shapes of its objects."""

from __future__ import annotations

import json
import struct
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from aotrun.arrays.dtypes import BY_NAME
from aotrun.arrays.signature import Dim, Spec
from aotrun.serving import protocol
from aotrun.serving.http import Refused
from aotrun.serving.models import Served
from aotrun.serving.protocol import Rows

N = Dim(1, 8, b"n")
INPUTS = [
    Spec("ids", BY_NAME["int64"], (N,), None),
    Spec("x", BY_NAME["float16"], (N, Dim(2, 2, None)), None),
]
OUTPUTS = [Spec("y", BY_NAME["float32"], (N,), None), Spec("z", BY_NAME["bool"], (Dim(-1, -1, None),), None)]

_DATATYPES = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64")
_DATATYPES += ("FP16", "FP32", "FP64", "BYTES", "BF16")
#: The objects of the protocol as its text describes them.
TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {
            "enum": list(_DATATYPES),
        },
        "parameters": {"type": "object"},
        "data": {"type": "array"},
    },
    "additionalProperties": False,
}
RESPONSE = {
    "type": "object",
    "required": ["model_name", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": TENSOR},
    },
    "additionalProperties": False,
}
METADATA = {
    "type": "object",
    "required": ["name", "platform", "inputs", "outputs"],
    "properties": {
        "name": {"type": "string"},
        "versions": {"type": "array", "items": {"type": "string"}},
        "platform": {"type": "string"},
        "inputs": {"type": "array", "items": TENSOR},
        "outputs": {"type": "array", "items": TENSOR},
    },
    "additionalProperties": False,
}


def parse(document: Any, tail: int = 0) -> protocol.Plan:
    return protocol.parse(json.dumps(document).encode(), tail, INPUTS, OUTPUTS)


def ids(**more: Any) -> dict[str, Any]:
    return {"name": "ids", "shape": [2], "datatype": "INT64", "data": [1, 2], **more}


def x(**more: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [2, 2], "datatype": "FP16", "data": [1, 2, 3, "NaN"], **more}


def test_numbers_in_any_order_and_nesting() -> None:
    for data in ([1, 2, 3, "NaN"], [[1, 2], [3, "NaN"]]):
        first, second = parse({"inputs": [x(data=data), ids()]}).arrays(memoryview(b""))
        assert first.tolist() == [1, 2]
        assert second.tolist()[:3] == [1, 2, 3]
        assert second.tolist()[3] != second.tolist()[3]


def test_bytes_lie_in_the_order_of_the_request() -> None:
    sized = [x(parameters={"binary_data_size": 8}), ids(parameters={"binary_data_size": 16})]
    for entry in sized:
        del entry["data"]
    tail = bytearray(struct.pack("<4e2q", 1, 2, 3, 4, 5, 6))
    plan = parse({"inputs": sized}, len(tail))
    assert plan.is_reusable
    first, second = plan.arrays(memoryview(tail))
    assert first.tolist() == [5, 6]
    assert second.tolist() == [1, 2, 3, 4]
    assert not parse({"inputs": [ids(), x()]}).is_reusable
    with pytest.raises(Refused, match="25 bytes lie behind the JSON, which speaks of 24"):
        parse({"inputs": sized}, 25)


def test_which_outputs_and_how() -> None:
    def wanted(**more: Any) -> list[tuple[int, bool]]:
        return parse({"inputs": [ids(), x()], **more}).outputs

    assert wanted() == [(0, False), (1, False)]
    assert wanted(parameters={"binary_data_output": True}) == [(0, True), (1, True)]
    assert wanted(outputs=[{"name": "z"}]) == [(1, False)]
    mixed = [{"name": "z", "parameters": {"binary_data": False}}, {"name": "y"}]
    assert wanted(outputs=mixed, parameters={"binary_data_output": True}) == [(1, False), (0, True)]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"inputs": [ids(), x(shape=[1, 2], data=[1, 2])]}, "n is 2 in input ids and 1 in input x"),
        ({"inputs": [ids(data=[1.5, 2]), x()]}, "does not fit int64"),
        ({"inputs": [ids(data=[1, True and 2, 3]), x()]}, "3 numbers for shape"),
        ({"inputs": [ids(), x(data=[[1, 2], [3]])]}, "not nested"),
        ({"inputs": [ids(), x(data=None)]}, "neither data nor"),
        ({"inputs": [ids(parameters=5), x()]}, "no object"),
        (
            {"inputs": [ids(), x()], "outputs": [{"name": "y", "parameters": {"classification": 3}}]},
            "no such extension",
        ),
        ({"inputs": [ids(), x()], "parameters": {"binary_data_output": 1}}, "neither true nor false"),
        ({"inputs": [ids(shape=[9], data=[1] * 9), x()]}, "has shape [9]"),
        ({"inputs": [ids(shape=[True, 2]), x()]}, "no list of sizes"),
        ({"inputs": {"ids": 1}}, "no list of objects"),
    ],
)
def test_what_is_refused(document: Any, words: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(document)
    assert refused.value.status == 400
    assert words in refused.value.text


def test_answers_follow_the_protocol() -> None:
    plan = parse({"id": 'a "b"', "inputs": [ids(), x()], "outputs": [{"name": "z"}, {"name": "y"}]})
    plan.outputs = [(1, False), (0, True)]
    y = Rows(BY_NAME["float32"], (2,), struct.pack("<2f", 1.5, float("inf")))
    z = Rows(BY_NAME["bool"], (3,), b"\1\0\1")
    text, tail = protocol.answer("m", plan, ["y", "z"], [y, z])
    document = json.loads(text)
    jsonschema.validate(document, RESPONSE)
    assert document["id"] == 'a "b"'
    assert document["outputs"] == [
        {"name": "z", "datatype": "BOOL", "shape": [3], "data": [True, False, True]},
        {"name": "y", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
    ]
    assert b"".join(tail) == y.data
    missing, _ = protocol.answer("m", plan, ["y", "z"], [y, None])
    assert [output["name"] for output in json.loads(missing)["outputs"]] == ["y"]


def test_metadata_follows_the_protocol() -> None:
    document = json.loads(json.dumps(protocol.model_metadata("m", INPUTS, OUTPUTS)))
    jsonschema.validate(document, METADATA)
    assert [(each["name"], each["shape"]) for each in document["inputs"]] == [("ids", [-1]), ("x", [-1, 2])]


def test_every_type_that_tensors_have_has_a_name() -> None:
    assert set(protocol.DATATYPES.values()) == set(BY_NAME)


@pytest.mark.parametrize("pair", [["a", "b"], [None, 1], [{}, []]])
def test_pairs_that_are_no_complex_numbers_are_refused(pair: list[Any]) -> None:
    inputs = [Spec("c", BY_NAME["complex64"], (N,), None)]
    entry = {"name": "c", "datatype": "COMPLEX64", "shape": [1], "data": [pair]}
    with pytest.raises(Refused) as refused:
        protocol.parse(json.dumps({"inputs": [entry]}).encode(), 0, inputs, OUTPUTS)
    assert refused.value.status == 400


#: A request whose tensors lie behind it; something stands before them.
BEHIND = (
    b'{%b "inputs": [{"name": "ids", "shape": [1], "datatype": "INT64", "parameters": {"binary_data_size": 8}}, '
    b'{"name": "x", "shape": [1, 2], "datatype": "FP16", "parameters": {"binary_data_size": 4}}]}'
)


def served() -> Served:
    double: Any = SimpleNamespace(inputs=INPUTS, outputs=OUTPUTS, description={}, session=None)
    return Served("double", 0, double, 1)


def test_requests_that_differ_in_their_id_alone_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = served()
    first = model.plan(BEHIND % b'"id": "first",', 12)
    assert first.id == "first"
    monkeypatch.setattr("aotrun.serving.models.parse", None)
    second = model.plan(BEHIND % b'"id": "sec[ond] !",', 12)
    assert (first.id, second.id) == ("first", "sec[ond] !")
    assert second.tensors is first.tensors
    assert model.plan(BEHIND % b'"id": "",', 12).id == ""


@pytest.mark.parametrize(
    ("one", "other", "ids"),
    [
        # The first text with quotes behind "id" is not the request's id, or not the only one.
        (b'"parameters": {"id": "a"}, "id": "a",', b'"parameters": {"id": "b"}, "id": "a",', ("a", "a")),
        (b'"parameters": {"id": "a"}, "\\u0069d": "a",', b'"parameters": {"id": "b"}, "\\u0069d": "a",', ("a", "a")),
        (b'"parameters": {"id": "a"},', b'"parameters": {"id": "b"},', (None, None)),
        (b'"id": "a", "id": "b",', b'"id": "c", "id": "b",', ("b", "b")),
        (b'"id": "a\\"b",', b'"id": "a\\\\",', ('a"b', "a\\")),
        ('"id": "ä",'.encode(), b'"id": "a",', ("ä", "a")),
        (b"", b'"id": "a",', (None, "a")),
    ],
)
def test_an_id_is_that_of_its_request(one: bytes, other: bytes, ids: tuple[str | None, ...]) -> None:
    model = served()
    assert tuple(model.plan(BEHIND % each, 12).id for each in (one, other)) == ids
    assert tuple(model.plan(BEHIND % each, 12).id for each in (one, other)) == ids
