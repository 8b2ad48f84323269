"""The documents' snippets: a section is a folder, a fence with a file name is a file, `sh` fences are run in order."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles.embedding_projects import ROOT, needs, run

DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections() -> Iterator[tuple[str, str]]:
    """Titles and texts of what has snippets to run."""
    for section in (DOCS / "embedding.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        title, text = section.split("\n", 1)
        if FENCE.search(text):
            yield title, text
    yield (
        "the C API",
        (DOCS / "c-api.md").read_text(encoding="utf-8")
        + "\n```sh\ncc -Wall -Wextra -Werror one.c -o one "
        + ("-Ibundle/include -Lbundle/lib -laot_bridge '-Wl,-rpath,$ORIGIN/bundle/lib' && ./one\n```\n"),
    )


@pytest.mark.parametrize(("title", "text"), [pytest.param(*section, id=section[0]) for section in sections()])
def test_every_snippet_compiles_and_runs(title: str, text: str, portable: Path, tmp_path: Path) -> None:
    needs("cargo" if title == "Rust" else "pkg-config")
    folder = tmp_path / "section"
    folder.mkdir()
    (folder / "bundle").symlink_to(portable)
    command = tmp_path / "bin" / "aotpack"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aotpack "$@"\n')
    command.chmod(0o755)
    environment = {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "toolchain"),
        "HOME": os.environ.get("HOME", "/"),
    }

    ran = 0
    for language, name, body in FENCE.findall(text):
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(body)
        elif language == "sh":
            run("sh", "-euc", body, cwd=folder, **environment)
            ran += 1
        else:
            pytest.fail(f"a snippet of {title} has neither a file name nor a shell to run it:\n{body}")
    assert ran > 0


def test_the_languages_all_have_a_section() -> None:
    assert [title for title, _ in sections()] == ["C", "C++", "Rust", "Python", "the C API"]
