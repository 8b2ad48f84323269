"""The project file: where it is found, what is said of mistakes, and its schema."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import msgspec
import pytest

from aotpack import resources
from aotpack.errors import UsageError
from aotpack.project import settings
from aotpack.project.example import FILES
from aotpack.project.reading import find_project, parse_project
from aotpack.project.settings import Bundle, Model
from tests.support.packages.exporting import ROOT

WHOLE = """
venv = "../.venv"
backend = "cpu"
[export]
cpu-isa = "avx2"
archs = ["sm_80", "sm_90"]
options = { epilogue_fusion = false }
[models]
encode = "m.py:encode"
[models.decode]
source = "package.module:decode"
verify = true
[bundles.both]
portable = true
models = ["encode", "decode"]
assets = { "labels.txt" = "data/labels.txt" }
metadata = { sample-rate = 16000 }
"""


def test_the_whole_of_it() -> None:
    project = parse_project(WHOLE, "aotpack.toml")
    assert project.export.given() == {
        "archs": ("sm_80", "sm_90"),
        "cpu_isa": "avx2",
        "options": {"epilogue_fusion": False},
    }
    assert project.models == {"encode": "m.py:encode", "decode": Model(source="package.module:decode", verify=True)}
    assert project.bundles == {
        "both": Bundle(
            portable=True,
            models=("encode", "decode"),
            assets={"labels.txt": "data/labels.txt"},
            metadata={"sample-rate": 16000},
        )
    }


@pytest.mark.parametrize(
    ("text", "what", "meaning", "fix"),
    [
        ("backend = cpu", "line 1", "no TOML", "mend that line"),
        ("bakend = 'cpu'", "no setting bakend", "the file takes venv, backend", "did you mean backend?"),
        ("backend = 'gpu'", "backend is 'gpu'", "one of cpu, cuda, rocm", "did you mean cpu?"),
        ("backend = 'x'", "backend is 'x'", "one of cpu, cuda, rocm", "backend = 'cpu'"),
        ("[export]\nconstants = 'frosen'", "export.constants is 'frosen'", "one of frozen, updatable", "mean frozen?"),
        (
            "[models.a]\nsource = 'm.py:m'\nconstants = 'no'",
            "models.a.constants is 'no'",
            "one of frozen",
            "= 'frozen'",
        ),
        (
            "[bundles.a]\nruntime = 'slin'",
            "bundles.a.runtime is 'slin'",
            "one of auto, full, slim",
            "did you mean slim?",
        ),
        (f"a = {'[' * 100_000}", "values within values", "no setting has such a value", "remove it"),
        ("[export]\ncpu_isa = 'avx2'", "no setting export.cpu_isa", "[export] takes", "did you mean cpu-isa?"),
        ("[bundles.a]\nportabel = true", "no setting bundles.a.portabel", "[bundles.a] takes", "mean portable?"),
        ("[bundles.a]\nportable = 1", "bundles.a.portable: expected `bool`", "not what", "bundles.a.portable"),
        ("[models.a]\nverify = true", "models.a: object missing required field `source`", "not what", "models.a"),
        ("[models]\nencode = 'm.py:m'\n[bundles.a]\nmodels = ['enocde']", "'enocde'", "has encode", "'encode'?"),
        ("bundles = 3", "bundles is a int", "table of names", "[bundles.NAME]"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_was_meant(text: str, what: str, meaning: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_project(text, "aotpack.toml")
    assert what in caught.value.what
    assert caught.value.what.startswith("aotpack.toml")
    assert meaning in caught.value.meaning
    assert fix in caught.value.fix


def test_the_nearest_one_is_found_upwards(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_project(inner) is None
    (tmp_path / "pyproject.toml").write_text("[tool.aotpack.models]\nouter = 'm.py:m'\n")
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.ruff]\nline-length = 120\n")
    outer = find_project(inner)
    assert outer is not None
    assert (outer.folder, list(outer.project.models)) == (tmp_path, ["outer"])
    (tmp_path / "a" / "aotpack.toml").write_text("[models]\nmiddle = 'm.py:m'\n")
    middle = find_project(inner)
    assert middle is not None
    assert (middle.folder, list(middle.project.models)) == (tmp_path / "a", ["middle"])


def test_a_mark_at_the_beginning_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "aotpack.toml").write_text("[models]\na = 'm.py:m'\n", encoding="utf-8-sig")
    found = find_project(tmp_path)
    assert found is not None
    assert list(found.project.models) == ["a"]


def test_other_peoples_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("this is no TOML\n")
    assert find_project(tmp_path) is None


def test_a_mistake_in_a_table_of_pyproject_names_it(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.aotpack]\nvnev = '.venv'\n")
    with pytest.raises(UsageError, match=r"pyproject\.toml \[tool\.aotpack\]: there is no setting vnev"):
        find_project(tmp_path)


def test_the_schema_is_that_of_the_types_and_takes_what_they_take() -> None:
    shipped = (resources.SCHEMAS / "project.schema.json").read_bytes()
    assert shipped == settings.json_schema(), "run `make schemas`"
    for text in (WHOLE, FILES["aotpack.toml"]):
        jsonschema.validate(msgspec.toml.decode(text), json.loads(shipped))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"bundles": {"a": {"portabel": True}}}, json.loads(shipped))


def test_the_document_shows_a_project_that_is_one() -> None:
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", (ROOT / "docs" / "python.md").read_text(), re.MULTILINE | re.DOTALL)
    project = parse_project(shown, "docs/python.md")
    assert set(project.bundles) == {"voice"}


@pytest.mark.parametrize(
    "example", sorted((ROOT / "examples").glob("*/aotpack.toml")), ids=lambda path: path.parent.name
)
def test_the_examples_describe_what_is_there(example: Path) -> None:
    found = find_project(example.parent)
    assert found is not None
    assert found.file == example
    for model in found.project.models.values():
        assert isinstance(model, str)
        assert (example.parent / model.partition(":")[0]).is_file()
    (name,) = found.project.bundles
    assert f"dist/{name}" in example.read_text()
