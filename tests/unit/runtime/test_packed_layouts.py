"""oneDNN's descriptors of weights as aotpack and the doctor read them: one table for these, the bridge and slim."""

from __future__ import annotations

import pytest

from aotpack.package.metadata import Constant, ModelMetadata, PackedWeight
from aotpack.runtime import slim_weights
from aotpack_doctor.reading.models import packed_halves
from tests.support.models.packed_layouts import CASES, PackedLayout


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_the_slim_runtime_gets_panels_of(case: PackedLayout) -> None:
    layout = case.descriptor.hex()
    given = ModelMetadata(
        constants=(Constant((64, 64), layout=0),), layouts=(layout,), packed_weights=(PackedWeight(0, 0, 128),)
    )
    metadata, packings = slim_weights.for_slim(given)
    assert bool(packings) is case.gets_panels
    assert (metadata.constants == given.constants) is not case.gets_panels


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_the_types_of_16_bits_that_the_doctor_sees(case: PackedLayout) -> None:
    assert packed_halves([case.descriptor.hex()]) == ((case.half,) if case.half else ())
