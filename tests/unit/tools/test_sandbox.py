"""Ways to an empty root that do not work here."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.tools import sandbox


def test_a_program_of_another_machine_is_no_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bwrap"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (way,) = sandbox.candidates()
    assert way == sandbox.Sandbox("bubblewrap", str(program))
    assert not sandbox.works(way)
