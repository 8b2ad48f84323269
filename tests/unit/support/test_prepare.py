"""What is made ahead of the tests can be asked for at all; a mistake there would end `make test` before it begins."""

from __future__ import annotations

import dataclasses

from aotpack.exporting.driving import ExportRequest
from tests.support.prepare import SHARED


def test_each_package_has_a_source_and_options_that_there_are() -> None:
    fields = {field.name for field in dataclasses.fields(ExportRequest)}
    for source, options in SHARED:
        assert source.is_file()
        assert set(options) <= fields
        function = options.get("function", "model")
        assert f"def {function}(" in source.read_text()
    assert len({(source, str(sorted(options.items()))) for source, options in SHARED}) == len(SHARED)
