"""What may lie in the place of a file that is read."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.elf.facts import is_elf, read_elf
from aotpack.environment.python import read_env, read_pyvenv_cfg
from aotpack.tools.scratch import whole_file, write_whole
from aotpack_doctor.base import hashing
from aotpack_doctor.base.regular import SpecialFileError, open_regular, read_regular, read_text
from aotpack_doctor.reading.host import read_text as text_or_nothing
from tests.support.doubles.torch_trees import make_venv


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)  # the path as a whole may be too long


KINDS: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a socket": bind,
    "a folder": lambda path: path.mkdir(),
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.fixture(params=KINDS)
def special(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something that is no file; a link to a device, as only root may make others."""
    monkeypatch.chdir(tmp_path)
    KINDS[request.param](tmp_path / "special")
    return tmp_path / "special"


@pytest.mark.timeout(10)
def test_an_error_at_once(special: Path, request: pytest.FixtureRequest) -> None:
    path = str(special)
    name = request.node.callspec.params["special"]
    for read in (open_regular, read_regular, read_text, hashing.sha256_of):
        with pytest.raises(SpecialFileError, match=f"is {name}, where a file belongs"):
            read(path)
    assert text_or_nothing(path) == ""
    assert not is_elf(special)
    with pytest.raises(OSError, match="where a file belongs"):
        read_elf(special)


@pytest.mark.timeout(10)
def test_no_output_goes_there(special: Path, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["special"].replace("a device", "a link")
    with pytest.raises(SpecialFileError, match=f"is {name}, where a file belongs"):
        write_whole(special, b"content")
    assert [path.name for path in special.parent.iterdir()] == ["special"]


@pytest.mark.timeout(10)
def test_links(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("none")
    assert read_regular(str(tmp_path / "link")) == b"content"
    for name, error in (("link", "is a link"), ("loop", "is a link"), ("nowhere", "is a link")):
        with pytest.raises(SpecialFileError, match=error):
            read_regular(str(tmp_path / name), follow=False)
        with pytest.raises(SpecialFileError, match=error):
            write_whole(tmp_path / name, b"")
    with pytest.raises(OSError, match="symbolic links"):
        read_regular(str(tmp_path / "loop"))
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.timeout(10)
def test_an_environment_with_fifos_in_it(tmp_path: Path) -> None:
    site_packages = make_venv(tmp_path / "venv")
    os.mkfifo(site_packages / "easy.pth")
    assert read_env(tmp_path / "venv") is not None
    (tmp_path / "venv/pyvenv.cfg").unlink()
    os.mkfifo(tmp_path / "venv/pyvenv.cfg")
    assert read_pyvenv_cfg(tmp_path / "venv") == {}


def test_write_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"older")
    write_whole(tmp_path / "file", b"newer")
    assert (tmp_path / "file").read_bytes() == b"newer"

    def fail() -> None:
        with whole_file(tmp_path / "file") as stream:
            stream.write(b"newest")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert (tmp_path / "file").read_bytes() == b"newer"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
