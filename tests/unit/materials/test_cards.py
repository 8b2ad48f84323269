"""Model cards that a user wrote, and bills of materials that anybody wrote: what is none is told as such."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aotpack.building.papers import _card
from aotpack.errors import DamagedError, UsageError
from aotpack.materials import sbom
from aotpack.package.metadata import ModelMetadata


@pytest.mark.parametrize("text", ["", "[]", '{"x": NaN}', '{"x": "\\ud800"}', "[" * 100_000])
def test_what_is_no_card(text: str, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(UsageError, match=r"card\.json"):
        _card(tmp_path / "card.json")


def test_nobody_waits_for_a_card_that_is_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "card.json")
    with pytest.raises(UsageError, match="FIFO"):
        _card(tmp_path / "card.json")


@pytest.mark.parametrize("parameters", [None, 7, "words", [1]])
def test_parameters_that_are_no_object_are_for_the_schema_to_refuse(parameters: object) -> None:
    card = {"modelParameters": parameters}
    bill = sbom.bill(sbom.Materials({"m": ModelMetadata()}, {"m": card}, (), {}, {}))
    assert sbom.problems(bill) is not None


@pytest.mark.parametrize(
    "components",
    [
        None,
        {},
        [7],
        [{"name": "x"}],
        [{"name": "x", "type": 7}],
        [{"name": "x", "type": "library", "supplier": "me"}],
        [{"name": "x", "type": "library", "licenses": [{"license": 7}]}],
        [{"name": "x", "type": "library", "licenses": [{"license": {"id": 7}}]}],
        [{"name": "x", "type": "library", "licenses": [{"expression": 7}]}],
    ],
)
def test_a_bill_of_other_types_is_damaged(components: object, tmp_path: Path) -> None:
    (tmp_path / sbom.NAME).write_text(json.dumps({"bomFormat": "CycloneDX", "components": components}))
    with pytest.raises(DamagedError, match=r"Expected|missing"):
        sbom.read(tmp_path)
