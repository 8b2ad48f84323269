"""`import aotpack` offers its names and imports nothing for them before they are asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import aotpack

INIT = Path(aotpack.__file__)


def test_importing_it_imports_nothing_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules); import aotpack; aotpack.AotpackError\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('aotpack.')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["aotpack", "aotpack.errors"]


def test_a_type_checker_sees_the_same_names_at_the_same_places() -> None:
    tree = ast.parse(INIT.read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == aotpack._PLACES


@pytest.mark.parametrize("name", sorted(set(aotpack.__all__) - {"__version__"}))
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(aotpack, name)
    assert value.__doc__
    assert name in dir(aotpack)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="exprot"):
        _ = aotpack.exprot  # type: ignore[attr-defined]
