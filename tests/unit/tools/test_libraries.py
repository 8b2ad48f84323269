"""Packages that only some commands need."""

from __future__ import annotations

import json

import pytest

from aotpack.errors import BuildToolError
from aotpack.tools.libraries import need


def test_what_is_there_and_what_is_not() -> None:
    assert need("json", "json", "a test") is json
    with pytest.raises(BuildToolError) as failed:
        need("aotpack_no_such_module", "no-such-package", "a tar.zst archive")
    assert "no-such-package" in failed.value.what
    assert failed.value.fix == "pip install 'aotpack[release]'"
