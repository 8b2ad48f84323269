"""What the doctor asks of the programs of a build machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.diagnosing import build_machine
from aotpack.tools import programs
from aotpack_doctor.facts import Program


@pytest.mark.parametrize(
    ("content", "version"),
    [
        (b"#!/bin/sh\nprintf 'cmake version 3.31.2 of Andr\\351\\n'\n", "3.31.2"),
        (b"\x7fELF of another machine", None),
    ],
    ids=["no UTF-8", "another machine's"],
)
def test_a_version_that_cannot_be_had_is_not_known(
    content: bytes, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "cmake"
    program.write_bytes(content)
    program.chmod(0o755)
    monkeypatch.setattr(programs, "_folders", lambda _name: iter([tmp_path]))
    assert build_machine._tool("cmake") == Program(str(program), version)
