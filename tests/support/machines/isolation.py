"""Proofs that need a root of their own, or a program of tests/system-packages. Where the machine gives none they are
skipped, and say so; a CI fails instead, because nobody reads there what was skipped."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from aotpack.tools.sandbox import Sandbox, find_sandbox


def empty_root() -> Sandbox:
    """A way to run a program where nothing is but the bundle."""
    box = find_sandbox()
    if box is None:
        unproved("NO SANDBOX HERE: install bubblewrap, allow users to make namespaces, or be root")
    return box


def mounted_root() -> Sandbox:
    """The same where the root is to hold /proc, or what nobody may write to: links and copies are neither."""
    box = empty_root()
    if box.name == "chroot":
        no_namespaces("a root with /proc, or one that cannot be written, takes mounts")
    return box


def need_open_root() -> None:
    """End a test that runs as somebody else where a root folder that is closed to others lets them see nothing."""
    if not Path("/").stat().st_mode & stat.S_IXOTH:
        pytest.skip("NOT TESTED: here / is closed to all but root (chmod o+x /), so somebody else sees nothing at all")


def no_namespaces(reason: str) -> NoReturn:
    """End a test that only namespaces can make. In a chroot the kernel forbids them to everybody, in a CI as well."""
    if in_chroot(Path("/proc/self/mountinfo").read_text()):
        pytest.skip(f"NOT TESTED IN A CHROOT: {reason}")
    unproved(f"NO NAMESPACES HERE: {reason}")


def in_chroot(mountinfo: str) -> bool:
    """Whether `/` is the root of no file system that this process sees, going by /proc/self/mountinfo."""
    return not any(line.split()[4] == "/" for line in mountinfo.splitlines())


def unproved(reason: str, environment: Mapping[str, str] = os.environ) -> NoReturn:
    """End a test that this machine cannot make."""
    if environment.get("CI"):
        pytest.fail(f"{reason} (a skip without CI in the environment)", pytrace=False)
    pytest.skip(reason)
