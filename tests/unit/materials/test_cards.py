"""Model cards that a user wrote, and bills of materials that anybody wrote: what is none is told as such."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.building.papers import _card, check_cards
from aotpack.building.request import BuildOrder, BuildRequest, order_of
from aotpack.errors import DamagedError, UsageError
from aotpack.materials import sbom
from aotpack.materials.components import Component
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


def test_a_card_that_does_not_fit_is_told_before_anything_is_built(tmp_path: Path) -> None:
    card = tmp_path / "card.json"

    def order(text: str) -> BuildOrder:
        card.write_text(text)
        package = tmp_path / "m.pt2"
        request = BuildRequest(
            backend=Backend.CPU,
            output=tmp_path / "out",
            models=(("m", package),),
            portable=True,
            model_cards=((None, card),),
        )
        return order_of(request)

    check_cards(order('{"properties": [{"name": "dataset", "value": "mine"}]}'))
    with pytest.raises(UsageError, match=r"card\.json: "):
        check_cards(order('{"modelParameters": 7}'))


def test_a_plus_of_a_version_is_quoted_in_package_urls() -> None:
    component = Component("torch", "2.13.0+cpu", license=None, kind="pypi")
    assert sbom.purl(component) == "pkg:pypi/torch@2.13.0%2Bcpu"
