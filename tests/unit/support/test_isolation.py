"""Where a proof cannot be made: skipped on a machine, failed in a CI, and how a chroot is told."""

from __future__ import annotations

import pytest

from tests.support.machines import isolation

ROOT = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
PROC = "30 22 0:5 / /proc rw - proc proc rw\n"


def test_a_chroot_sees_no_root_of_a_file_system() -> None:
    assert not isolation.in_chroot(PROC + ROOT)
    assert isolation.in_chroot(PROC)


@pytest.mark.parametrize(("value", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_without_any_sandbox(monkeypatch: pytest.MonkeyPatch, value: str, outcome: type[BaseException]) -> None:
    monkeypatch.setenv("CI", value)
    monkeypatch.setattr(isolation, "find_sandbox", lambda: None)
    with pytest.raises(outcome, match="NO SANDBOX HERE"):
        isolation.empty_root()


@pytest.mark.parametrize(("value", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_without_namespaces(monkeypatch: pytest.MonkeyPatch, value: str, outcome: type[BaseException]) -> None:
    monkeypatch.setenv("CI", value)
    monkeypatch.setattr(isolation, "in_chroot", lambda _: False)
    with pytest.raises(outcome, match="NO NAMESPACES HERE: why"):
        isolation.no_namespaces("why")
    monkeypatch.setattr(isolation, "in_chroot", lambda _: True)
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED IN A CHROOT: why"):
        isolation.no_namespaces("why")
