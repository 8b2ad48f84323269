"""A build that ends at any of the moments it names: killed, asked to end, or by a disk that fails."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.bundle.manifest import load_bundle
from aotpack.cli import main
from aotpack.tools import in_place
from aotpack.tools.cache import cache_home
from aotpack.verifying.static import check_static
from tests.support import faults
from tests.support.faults import names_in

#: The moments of a build whose parts are in the cache, in order.
STEPS = ("locked", "gathered", "scratch", "writing", "described", "replacing", "replaced", "remembered")
Build = Callable[[str], Callable[[], None]]


@pytest.fixture
def build(tmp_path: Path, backend_venv: Path, exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Build:
    """`build(name)`: the work of building a bundle of one model of that name, in tmp_path/dist."""
    import aotpack.building.assemble  # noqa: F401  once, and not in each child

    package = exported("mlp")
    (tmp_path / "dist").mkdir()
    monkeypatch.chdir(tmp_path)

    def get(name: str) -> Callable[[], None]:
        words = ["build", "--model", f"{name}={package}", "--venv", str(backend_venv), "--runtime", "slim"]
        return lambda: main([*words, "--output", "dist/bundle"])

    return get


def is_whole(bundle: Path, model: str) -> None:
    assert check_static(bundle).problems == ()
    assert list(load_bundle(bundle).models) == [model]


def test_a_kill_at_every_step(build: Build, tmp_path: Path) -> None:
    dist, bundle = tmp_path / "dist", tmp_path / "dist" / "bundle"
    clean = faults.run(build("older"))
    assert clean.status == 0, clean.stderr
    assert tuple(dict.fromkeys(clean.reached)) == STEPS
    assert names_in(dist) == ["bundle"]
    for step in STEPS:
        ended = faults.run(build("newer"), step, faults.kill())
        assert (ended.status, ended.reached[-1]) == (-signal.SIGKILL, step)
        is_whole(bundle, "newer" if step in ("replaced", "remembered") else "older")
        # The next one clears up, and is not held up by what is left.
        again = faults.run(build("older"))
        assert again.status == 0, again.stderr
        is_whole(bundle, "older")
        assert names_in(dist) == ["bundle"]


def test_a_kill_between_two_renames(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system cannot exchange two folders, there is a moment without a bundle."""
    monkeypatch.setattr(in_place, "exchange", lambda *_: False)
    assert faults.run(build("older")).status == 0
    ended = faults.run(build("newer"), "between", faults.kill())
    assert (ended.status, ended.reached[-1]) == (-signal.SIGKILL, "between")
    assert not (tmp_path / "dist/bundle").exists()
    ended = faults.run(build("newer"), "gathered", faults.kill())
    assert ended.reached[-1] == "gathered"
    is_whole(tmp_path / "dist/bundle", "older")
    assert faults.run(build("newer")).status == 0
    is_whole(tmp_path / "dist/bundle", "newer")
    assert names_in(tmp_path / "dist") == ["bundle"]


@pytest.mark.parametrize("ending", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_whoever_is_asked_to_end_clears_up(build: Build, tmp_path: Path, ending: signal.Signals) -> None:
    for step in ("locked", "writing", "described"):
        ended = faults.run(build("newer"), step, faults.kill(ending))
        assert (ended.status, ended.reached[-1]) == (128 + ending, step), ended.stderr
        assert names_in(tmp_path / "dist") == []


def test_who_started_it_may_have_signals_ignored(build: Build, tmp_path: Path) -> None:
    """As nohup does."""

    def work() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        build("newer")()

    assert faults.run(work, "writing", faults.kill(signal.SIGHUP)).status == 0
    is_whole(tmp_path / "dist/bundle", "newer")


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_fails_at_any_step(build: Build, tmp_path: Path, code: int) -> None:
    assert faults.run(build("older")).status == 0
    for step in STEPS[:-2]:
        ended = faults.run(build("newer"), step, faults.fail(code))
        assert (ended.status, ended.reached[-1]) == (1, step)
        error = ended.stderr[ended.stderr.index("error: ") :].splitlines()
        assert len(error) == 3, ended.stderr
        is_whole(tmp_path / "dist/bundle", "older")
        assert names_in(tmp_path / "dist") == ["bundle"]


def test_a_limit_on_files_is_met_like_a_full_disk(build: Build, tmp_path: Path) -> None:
    import resource

    assert faults.run(build("older")).status == 0

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        build("newer")()

    ended = faults.run(work)
    assert ended.status in (1, 4), ended.stderr
    assert "error: " in ended.stderr
    assert "Traceback" not in ended.stderr
    is_whole(tmp_path / "dist/bundle", "older")
    assert names_in(tmp_path / "dist") == ["bundle"]


@pytest.fixture
def own_cache(tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache to do harm to: the launcher, which compiles in a moment, is its own, all else is the usual one's."""
    usual, parts = cache_home() / "parts", tmp_path / "cache/aotpack/parts"
    parts.mkdir(parents=True)
    assert faults.run(build("older")).status == 0  # so that the usual one is filled
    for kind in usual.iterdir():
        if kind.name != "launcher":
            (parts / kind.name).symlink_to(kind)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert faults.run(build("older")).status == 0
    return parts


def test_a_damaged_part_is_not_packed(own_cache: Path, build: Build, tmp_path: Path) -> None:
    right = (tmp_path / "dist/bundle/bin/aotrun").read_bytes()
    for harm in ("flip", "truncate", "replace", "remove"):
        for path in own_cache.glob("launcher/*/contents/aotrun"):
            if harm == "flip":
                path.write_bytes(right[:-100] + bytes([right[-100] ^ 1]) + right[-99:])
            elif harm == "truncate":
                os.truncate(path, 100)
            elif harm == "replace":
                path.write_text("#!/bin/sh\necho planted\n")
            else:
                path.unlink()
        assert faults.run(build(harm)).status == 0
        assert (tmp_path / "dist/bundle/bin/aotrun").read_bytes() == right
        is_whole(tmp_path / "dist/bundle", harm)


def test_a_kill_while_the_cache_is_filled(own_cache: Path, build: Build, tmp_path: Path) -> None:
    for entry in (own_cache / "launcher").iterdir():
        shutil.rmtree(entry)
    ended = faults.run(build("newer"), "cached", faults.kill())
    assert (ended.status, ended.reached[-1]) == (-signal.SIGKILL, "cached")
    assert [name for name in names_in(own_cache / "launcher") if not name.startswith(".making-")] == []
    assert faults.run(build("newer")).status == 0
    is_whole(tmp_path / "dist/bundle", "newer")
    assert [name for name in names_in(own_cache / "launcher") if name.startswith(".making-")] == []
