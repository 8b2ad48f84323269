"""Where a model comes from, as a user writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.errors import UsageError
from aotpack.exporting.sources import Source, is_source, parse_source


def test_the_three_forms(tmp_path: Path) -> None:
    file, program = tmp_path / "a:b.py", tmp_path / "saved.pt2"
    file.touch()
    program.touch()
    assert parse_source(f"{file}:model") == Source(file, function="model")
    assert parse_source("package.module:make") == Source(module="package.module", function="make")
    assert parse_source(str(program)) == Source(program)


@pytest.mark.parametrize(
    "bad", ["model.py", ":model", "{file}:", "{file}:two words", "{folder}/none.py:model", "none.py:model", "none.pt2"]
)
def test_what_is_no_source_is_said_in_three_lines(bad: str, tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.touch()
    with pytest.raises(UsageError) as caught:
        parse_source(bad.format(file=file, folder=tmp_path))
    assert all((caught.value.what, caught.value.meaning, caught.value.fix))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (Source(Path("/a/mlp.py"), function="model"), "mlp"),
        (Source(Path("/a/m.py"), function="encode"), "encode"),
        (Source(module="zoo.vision", function="model"), "vision"),
        (Source(Path("/a/saved.pt2")), "saved"),
    ],
)
def test_a_model_is_named_after_what_tells_it_from_others(source: Source, name: str) -> None:
    assert source.name == name


def test_a_function_is_told_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd:name").touch()
    assert is_source("m.py:model")
    assert is_source("package.module:model")
    assert not is_source("m.pt2")
    assert not is_source("odd:name")
