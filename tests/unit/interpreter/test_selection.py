"""What an interpreter answers when it is asked what of it travels."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.errors import BuildToolError
from aotpack.interpreter.selection import plan_interpreter


@pytest.mark.parametrize("said", ["hello", "{}", "[1]"])
def test_what_is_no_answer_is_said(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\necho '{said}'\n")
    python.chmod(0o755)
    with pytest.raises(BuildToolError, match="python3: printed what is no answer") as caught:
        plan_interpreter(python)
    assert said in caught.value.detail
