"""The wheel of a bundle, as pip installs it and auditwheel judges it."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from aotpack.errors import UsageError
from aotpack.release.contents import Item
from aotpack.release.wheel import _followed, _named
from tests.integration.release.conftest import packed

#: Calls the package as a user would, and prints what came of it.
USE = """
import json, sys
import numpy
import small_mlp
x = numpy.load(sys.argv[1])["in.x"]
first, named, again = small_mlp(x), small_mlp(x=x), small_mlp.load(threads=1)(x)
try:
    small_mlp(x.astype("float64"))
except Exception as error:
    problem = type(error).__name__
print(json.dumps([numpy.asarray(y).tolist() for y in (first, named, again)] + [problem, "torch" in sys.modules]))
"""


@pytest.fixture(scope="module")
def wheel(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(small, "wheel", tmp_path_factory.mktemp("wheel"), tag="team/small-mlp:1.0").output


def test_it_installs_and_computes_what_pytorch_did(wheel: Path, small: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    target = tmp_path / "site with a space"
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--target", target, wheel], check=True)
    sample = small / "models" / "mlp" / "sample.npz"
    done = subprocess.run(
        [sys.executable, "-c", USE, sample],
        env={"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *results, problem, imports_torch = json.loads(done.stdout)
    for result in results:
        np.testing.assert_allclose(result, np.load(sample)["out.output0"], rtol=1e-4, atol=1e-5)
    assert problem == "UsageError"
    assert not imports_torch
    assert (target / "small_mlp" / "py.typed").is_file()
    licenses = target / "small_mlp-1.0.dist-info" / "licenses"
    assert (licenses / "aotpack" / "LICENSE").is_file()


def test_auditwheel_agrees_with_its_name(wheel: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", "--disable-isa-ext-check", wheel],
        capture_output=True,
        text=True,
        check=True,
    )
    platform = wheel.stem.rpartition("-")[2]
    assert platform.startswith("manylinux_2_")
    assert f'"{platform}"' in done.stdout.replace("\n", " ")


def test_its_record_lists_all_that_is_in_it_and_no_more_than_is_needed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        rows = list(csv.reader(archive.read("small_mlp-1.0.dist-info/RECORD").decode().splitlines()))
        assert {row[0] for row in rows} == names
        assert [name for name, digest, _ in rows if not digest] == ["small_mlp-1.0.dist-info/RECORD"]
        for name, digest, size in rows:
            if digest:
                content = archive.read(name)
                encoded = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                assert (digest, int(size)) == (f"sha256={encoded}", len(content))
        metadata = archive.read("small_mlp-1.0.dist-info/METADATA").decode()
    assert "Requires-Dist" not in metadata
    folders = {name.split("/")[2] for name in names if name.startswith("small_mlp/bundle/")}
    assert folders == {"lib", "models", "runner"}
    assert not any("/libc." in name or name.endswith(".pyc") for name in names)


def test_the_same_bundle_gives_the_same_wheel(wheel: Path, small: Path, tmp_path: Path) -> None:
    again = packed(small, "wheel", tmp_path, tag="small-mlp:1.0").output
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize(
    ("name", "version"), [("class", "1"), ("1", "1"), ("---", "1"), ("mlp", "latest"), ("mlp", "v")]
)
def test_names_and_versions_that_cannot_be(name: str, version: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be imported|no version of a Python package"):
        _named(name, version, "linux_x86_64")


def test_a_link_becomes_the_file_that_it_leads_to() -> None:
    items = [
        Item("lib/libaot_proxy.so", Path("/real"), size=7),
        Item("models/a/one.so", link="../../lib/libaot_proxy.so"),
        Item("models/a/two.so", link="./one.so"),
    ]
    assert _followed(items[2], items) == Item("models/a/two.so", Path("/real"), size=7)
