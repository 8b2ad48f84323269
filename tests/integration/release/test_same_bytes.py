"""The same bytes, whoever makes them, where and when: packages and bundles."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.package.model import read_model
from aotpack.release.packing import FORMATS
from aotpack.tools.cache import cache_home
from tests.integration.release.conftest import packed, tree
from tests.support.packages.exporting import EXAMPLES

#: Of somebody else's machine: another user, language, time zone, umask, temporary folder, cache and number of cores.
ELSEWHERE = {
    "USER": "somebody",
    "LOGNAME": "somebody",
    "LC_ALL": "C.UTF-8",
    "TZ": "Asia/Tokyo",
    "PYTHONHASHSEED": "7",
    "OMP_NUM_THREADS": "1",
}


#: Named, so that no clock decides which variants there are.
ALL = "baseline,avx2,avx512"


def elsewhere(folder: Path, *arguments: str | Path) -> None:
    """Run `aotpack` in surroundings as unlike ours as can be had."""
    temporary = folder / "tmp with a space"
    temporary.mkdir(parents=True, exist_ok=True)
    places = {"HOME": str(folder), "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(folder / "cache")}
    kept = {name: os.environ[name] for name in os.environ if name.startswith(("CCACHE_", "CMAKE_", "PATH"))}
    subprocess.run(
        [sys.executable, "-m", "aotpack", *map(str, arguments)],
        check=True,
        cwd=folder,
        env={**kept, **ELSEWHERE, **places},
        umask=0o077,
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    )


def test_two_exports_of_one_module_are_the_same_package(
    exported: Callable[..., Path], backend_venv: Path, tmp_path: Path
) -> None:
    ours = exported("mlp", cpu_isa=ALL)
    shutil.copy(EXAMPLES / "mlp.py", tmp_path)
    (tmp_path / "venv").symlink_to(backend_venv, target_is_directory=True)
    elsewhere(tmp_path, "export", "mlp.py:model", "-o", "mlp.pt2", "--venv", "venv", "--cpu-isa", ALL)
    assert (tmp_path / "mlp.pt2").read_bytes() == ours.read_bytes()
    for name in (b"somebody", os.fsencode(tmp_path), os.fsencode(backend_venv.resolve())):
        assert name not in ours.read_bytes()
        assert name not in (tmp_path / "mlp.pt2").read_bytes()
    assert not list((tmp_path / "tmp with a space").glob("aotpack-*"))


def test_what_a_clock_chose_is_repeated_by_its_name(exported: Callable[..., Path]) -> None:
    """Nothing of a measurement but the choice is in the package."""
    first = exported("mlp", cpu_isa="portable")
    chosen = read_model(first).metadata
    assert chosen is not None
    names = [variant.name for variant in chosen.variants]
    if len(names) < 2:
        pytest.skip(f"ONE VARIANT PAYS ON THIS MACHINE: {names}")
    assert exported("mlp", cpu_isa=",".join(names)).read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    "seeded", [True, pytest.param(False, marks=pytest.mark.release)], ids=["slim runtime at hand", "empty cache"]
)
def test_two_builds_of_one_package_are_the_same_bundle(
    seeded: bool, small: Path, exported: Callable[..., Path], backend_venv: Path, tmp_path: Path
) -> None:
    """What is compiled is the same as well; the slim runtime, which takes minutes, again in the full test alone."""
    if seeded:
        shutil.copytree(
            cache_home() / "parts" / "slim", tmp_path / "cache" / "aotpack" / "parts" / "slim", symlinks=True
        )
    shutil.copy(exported("mlp"), tmp_path / "mlp.pt2")
    (tmp_path / "venv").symlink_to(backend_venv, target_is_directory=True)
    (tmp_path / "hello").write_text("hello")
    words = (
        "--portable",
        "--runtime",
        "slim",
        "--asset",
        "words/greeting.txt=hello",
        "--metadata",
        "sample_rate=16000",
    )
    elsewhere(tmp_path, "build", "mlp.pt2", "--output", "mlp", *words, "--venv", tmp_path / "venv")
    assert tree(tmp_path / "mlp") == tree(small)
    for form in FORMATS:
        packed(small, form, tmp_path / "ours" / form)
        elsewhere(tmp_path, "pack", "mlp", "--format", form, "--output", tmp_path / "theirs" / form)
        assert packed_bytes(tmp_path / "theirs" / form) == packed_bytes(tmp_path / "ours" / form)


def packed_bytes(path: Path) -> dict[str, str]:
    """SHA-256 of an archive, or of all files of a folder by name. Who may read them, the umask says."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
