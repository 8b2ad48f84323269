"""Where logins to registries lie."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from aotpack.release.oci import parse_reference
from aotpack.release.registry import _login

TARGET = parse_reference("localhost:5000/team/mlp:1", "--push")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def keep(path: Path, **logins: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    auths = {
        place.replace("__", "/"): {"auth": base64.b64encode(login.encode()).decode()} for place, login in logins.items()
    }
    path.write_text(json.dumps({"auths": auths}))


def test_the_nearest_login_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _login(TARGET) is None
    keep(home / ".config/containers/auth.json", **{"localhost:5000": "settings:1"})
    assert _login(TARGET) == ("settings", "1")
    keep(home / "run/containers/auth.json", **{"localhost:5000": "all:a:b", "elsewhere:5000": "other:1"})
    assert _login(TARGET) == ("all", "a:b")
    keep(home / "run/containers/auth.json", **{"localhost:5000": "all:1", "localhost:5000__team": "team:1"})
    assert _login(TARGET) == ("team", "1")
    keep(home / "named.json", **{"elsewhere:5000": "other:1"})
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "named.json"))
    assert _login(TARGET) is None


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"auths": []}', '{"auths": {"localhost:5000": 1}}', '{"auths": {"localhost:5000": {"auth": "/"}}}'],
)
def test_what_holds_no_logins_is_named(content: str, home: Path) -> None:
    path = home / "run/containers/auth.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ValueError, match=r"auth\.json holds no logins"):
        _login(TARGET)
