"""A wheel has no links: each becomes the file that it leads to."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.errors import UsageError
from aotpack.release.contents import Item
from aotpack.release.wheel import _followed

ITEMS = [
    Item("lib"),
    Item("lib/x.so.1", Path("x"), size=3),
    Item("lib/x.so", link="x.so.1"),
    Item("lib/twice.so", link="../lib/x.so"),
    Item("lib/folder", link="../lib/../models"),
]


def test_a_link_is_what_it_leads_to() -> None:
    for name in ("lib/x.so.1", "lib/x.so", "lib/twice.so"):
        (item,) = (item for item in ITEMS if item.path == name)
        assert _followed(item, ITEMS) == Item(name, Path("x"), size=3)


def test_a_link_to_a_folder_is_told() -> None:
    with pytest.raises(UsageError, match="lib/folder: a link to models, which is a folder"):
        _followed(ITEMS[-1], [item for item in ITEMS if item.path != "lib"])
