"""The single file of a small bundle made by hand: what is where in it, and what becomes of damage and malice."""

from __future__ import annotations

import hashlib
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aotpack.api.releases import sign
from aotpack.backend import Backend
from aotpack.bundle.manifest import Bundle, FileRecord, load_bundle
from aotpack.errors import DamagedError, UsageError
from aotpack.release.contents import contents
from aotpack.release.packing import PackRequest, pack
from aotpack.release.single_file import write_single_file
from aotpack.verifying.static import check_static
from aotpack.verifying.unpacked import as_folder
from aotpack_doctor.base.frame import listed, segments
from aotpack_doctor.base.sharing import _outside
from aotpack_doctor.base.sharing import segments as loaded_segments
from aotpack_doctor.base.single_file import HEAD_SIZE, INDEX_AT, MARK, Entry, SingleFile, inside
from tests.support.bundles.hand_made import elf_file
from tests.unit.release import test_archives
from tests.unit.release.test_archives import made, tree

MODULES = {
    "python/lib/python3.11/encodings/__init__.pyc": b"bytecode",
    "python/lib/python3.11/json/__init__.pyc": b"more bytecode",
    "runner/aotrun/__main__.py": b"print()",
    "runner/aotrun/__pycache__/__main__.cpython-311.pyc": b"its bytecode",
}


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {**test_archives.FILES, "bin/aotrun": b"a launcher that knows " + MARK, **MODULES}
    monkeypatch.setattr(test_archives, "FILES", files)
    (tmp_path / "small").mkdir()
    return made(tmp_path / "small")


@pytest.fixture
def packed(bundle: Path, tmp_path: Path, nothing: Callable[..., Any]) -> Path:
    release = pack(PackRequest(bundle, "file"), nothing)
    assert release.output == tmp_path / "small.aot"
    return release.output


def test_more_modules_than_a_zip_holds(packed: Path) -> None:
    entries = [Entry("bin/aotrun", offset=0)]
    entries += [Entry(f"python/lib/python3.11/encodings/{number}.pyc", offset=0) for number in range(0x10000)]
    with pytest.raises(ValueError, match="more first modules than a zip holds"):
        segments(str(packed), entries, "x86_64")


def test_it_holds_the_folder_and_gives_it_back(packed: Path, bundle: Path) -> None:
    assert packed.stat().st_mode & 0o777 == 0o755
    file = SingleFile(str(packed))
    for path, content in test_archives.FILES.items():
        assert file.read(path) == content
    with as_folder(packed) as folder:
        assert tree(folder) == tree(bundle)
    with as_folder(bundle) as folder:
        assert folder == bundle
    assert check_static(packed).problems == ()
    assert load_bundle(packed) == load_bundle(bundle)


def test_links_lead_where_they_do_in_the_folder(packed: Path) -> None:
    file = SingleFile(str(packed))
    up = file.find("models/mlp/up")
    assert up is not None
    assert up.path == "bin/aotrun"
    assert file.find("models/mlp/../../lib/link.so") is not None
    assert file.find("models/none") is None
    assert file.names("models") == ("mlp",)
    assert inside(f"{packed}/models/mlp/weights.blob") is not None
    assert inside(f"{packed.parent}/none/models") is None
    with file.open(up) as stream:
        stream.seek(-4, 2)
        assert stream.read() == MARK[-4:]
        assert stream.tell() == up.size


def test_weights_begin_with_a_page_and_modules_lie_in_a_zip(packed: Path) -> None:
    file = SingleFile(str(packed))
    assert (file.entries["models/mlp/weights.blob"].offset or 1) % 4096 == 0
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert archive.read("runner/aotrun/__main__.pyc") == b"its bytecode"  # where a zip importer looks for it
    assert "python/lib/python3.11/encodings/__init__.pyc" in names
    assert "python/lib/python3.11/json/__init__.pyc" not in names


def entries_of(bundle: Path) -> list[Entry]:
    return listed(load_bundle(bundle).files, [("bundle.json", (bundle / "bundle.json").stat().st_size)])


def test_the_layout_is_that_of_its_mark(tmp_path: Path) -> None:
    """Whoever verifies lays a file out anew: another layout needs another MARK, or older files are refused."""
    contents = {"bin/aotrun": b"launcher", "bundle.json": b"{}", "lib/a.so": elf_file(needed=("b.so",)), **MODULES}
    entries = []
    for path, content in sorted(contents.items()):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
        entries.append(Entry(path, 0o644, 0, len(content)))
    parts = segments(str(tmp_path), entries, "x86_64")
    laid = b"".join(contents[part.path] if isinstance(part, Entry) else part for part in parts)
    assert hashlib.sha256(laid).hexdigest() == "38e9ab35929b647d7242aa2c2fff9a43eb3a498c6d9929da2049029c8dcdfbe4"


def test_pages_are_as_large_as_the_machine_may_have_them(bundle: Path) -> None:
    places = {}
    end = 0
    for segment in segments(str(bundle), entries_of(bundle), "aarch64"):
        if isinstance(segment, Entry):
            places[segment.path] = end
        end += segment.size if isinstance(segment, Entry) else len(segment)
    assert places["models/mlp/weights.blob"] % 65536 == 0


def problems(path: Path) -> list[str]:
    """What `aotpack verify` says of a file, by place; its errors end in exit code 6."""
    try:
        return [f"{problem.path}: {problem.what}" for problem in check_static(path).problems]
    except DamagedError as error:
        return [str(error)]


def test_every_changed_byte_is_found(packed: Path, nothing: Callable[..., Any]) -> None:
    """Of a file by its hash in bundle.json, and every other because it follows from the files."""
    (packed.parent / "small" / "bundle.sig").write_text('{"a": "signature"}\n')
    packed = pack(PackRequest(packed.parent / "small", "file"), nothing).output
    content = packed.read_bytes()
    chosen = random.Random(1)  # noqa: S311
    file = SingleFile(str(packed))
    starts = sorted({entry.offset for entry in file.entries.values() if entry.offset is not None})
    index_end = INDEX_AT + HEAD_SIZE + content[INDEX_AT + HEAD_SIZE :].index(b"\0")
    # Each byte of the head, what surrounds each file, and some of all the rest.
    places = {*range(INDEX_AT, INDEX_AT + HEAD_SIZE)}
    places |= {place for start in starts for place in range(max(0, start - 40), start + 10, 10)}
    places |= {chosen.randrange(*ends) for ends in ((INDEX_AT, index_end), (0, len(content))) for _ in range(60)}
    places |= {*range(len(content) - 22, len(content))}  # where a zip says that it ends
    description = file.entries["bundle.json"]
    places |= {(description.offset or 0) + at for at in range(0, description.size, 50)}
    signature = file.entries["bundle.sig"]
    places |= {(signature.offset or 0) + at for at in range(signature.size)}
    assert problems(packed) == []
    for place in sorted(place for place in places if place < len(content)):
        altered = bytearray(content)
        altered[place] ^= 1 << chosen.randrange(8)
        packed.write_bytes(altered)
        os.utime(packed, ns=(place, place))  # a file system's clock has coarse ticks
        assert problems(packed), place


def test_a_forged_way_of_starting_is_found(packed: Path) -> None:
    """By somebody who knows how the file is made, where no hash of bundle.json has a say."""
    content = packed.read_bytes()
    first = content.index(b"PK\3\4", INDEX_AT)
    for what, forgery in (
        ("a mode", content.replace(b"file\t644\t", b"file\t666\t", 1)),
        ("a name in the zip", content[:first] + content[first:].replace(b"lib/python3.11/enc", b"lib/python3.11/dec")),
        ("bytes between files", content[: INDEX_AT - 10] + b"code" + content[INDEX_AT - 6 :]),
    ):
        assert len(forgery) == len(content), what
        assert forgery != content, what
        packed.unlink()
        packed.write_bytes(forgery)
        (problem,) = problems(packed)
        assert "was changed between its files" in problem, what


@pytest.mark.parametrize("size", [INDEX_AT + 20, INDEX_AT + HEAD_SIZE + 10, -1])
def test_a_truncated_one_is_refused(packed: Path, size: int) -> None:
    packed.write_bytes(packed.read_bytes()[:size])
    with pytest.raises(DamagedError, match=r"truncated|bytes") as raised:
        load_bundle(packed)
    assert raised.value.exit_code == 6
    with pytest.raises(DamagedError), as_folder(packed):
        pass


@pytest.mark.parametrize(
    "line",
    [
        "file\t644\t0\t5\t../outside",
        "file\t644\t0\t5\t/etc/passwd",
        "file\t644\t0\t5\ta//b",
        "file\t644\t0\t99999999\tlong",
        "file\t644\t-5\t5\tbefore",
        "file\t644\tx\t5\tno number",
        "file\t644\t0\t5",
        "file\t644\t0\t5\tno/folder",
        "file\t644\t0\t5\ta\nfile\t644\t0\t5\ta/b",
        "link\t/tmp\ta\nfile\t644\t0\t5\ta/b",
        "link\t/tmp\ta\nfolder\ta/b\nfile\t644\t0\t5\ta/b/c",
        "folder\tlib",
        "device\tnull",
        "",
    ],
)
def test_a_hostile_index_is_refused(packed: Path, tmp_path: Path, line: str) -> None:
    content = packed.read_bytes()
    index = f"{line}\nfolder\tlib\n".encode()
    head = MARK + b"%020d %020d %s\n" % (len(content), len(index), b"0" * 64)
    (tmp_path / "hostile").write_bytes(content[:INDEX_AT] + head + index + content[INDEX_AT + len(head + index) :])
    with pytest.raises(ValueError, match=r"has an index|at a place|invalid literal"):
        SingleFile(str(tmp_path / "hostile"))


def test_another_program_at_the_beginning_is_refused(packed: Path) -> None:
    """The launcher that is checked is the one that runs, and no copy of it elsewhere in the file."""
    content = packed.read_bytes()
    launcher = next(line for line in content.splitlines() if line.endswith(b"\tbin/aotrun"))
    kind, mode, _, size, path = launcher.split(b"\t")
    packed.write_bytes(content.replace(launcher, b"\t".join([kind, mode, b"%020d" % INDEX_AT, size, path])))
    with pytest.raises(ValueError, match="what the file begins with"):
        SingleFile(str(packed))


def test_a_changed_file_is_named(packed: Path) -> None:
    weights = SingleFile(str(packed)).entries["models/mlp/weights.blob"]
    content = bytearray(packed.read_bytes())
    content[(weights.offset or 0) + 10] = 1
    packed.write_bytes(content)
    (problem,) = check_static(packed).problems
    assert problem.path == "models/mlp/weights.blob"


def test_what_is_none_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(bytes(100_000))
    with pytest.raises(UsageError, match="has no bundle"):
        load_bundle(tmp_path / "x.npy")


def test_it_is_packed_and_signed_as_a_folder(packed: Path, nothing: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="--unpack"):
        pack(PackRequest(packed, "tar"), nothing)
    with pytest.raises(UsageError, match="--unpack"):
        sign(packed, key=packed.parent / "private.pem")


def changed(folder: Path, **fields: Any) -> Bundle:
    return msgspec.structs.replace(load_bundle(folder), **fields)


def refused(folder: Path, bundle: Bundle, tmp_path: Path) -> str:
    with pytest.raises(UsageError) as raised, (tmp_path / "out").open("wb") as stream:
        write_single_file(stream, folder, bundle, contents(folder, bundle), lambda _done: None)
    return f"{raised.value.what}\n{raised.value.meaning}"


def test_bundles_that_cannot_be_one_file(bundle: Path, tmp_path: Path) -> None:
    library = FileRecord(path="lib/libcublas.so.13", part="runtime", reason="test", size=540_000_000)
    files = (*load_bundle(bundle).files, library)
    cuda, rocm = (changed(bundle, backend=backend, files=files) for backend in (Backend.CUDA, Backend.ROCM))
    assert "0.54 GB of cuda libraries" in refused(bundle, cuda, tmp_path)
    assert "beside them" in refused(bundle, rocm, tmp_path)
    host = msgspec.structs.replace(load_bundle(bundle).built_on, glibc="2.28")
    assert "2.28" in refused(bundle, changed(bundle, built_on=host), tmp_path)
    files = load_bundle(bundle).files
    strange = msgspec.structs.replace(files[0], path="models/a\tb", link="x")
    assert "control character" in refused(bundle, changed(bundle, files=(*files, strange)), tmp_path)
    (bundle / "bin" / "aotrun").write_bytes(b"an older launcher")
    assert "older aotpack" in refused(bundle, load_bundle(bundle), tmp_path)


def test_what_is_shared_of_a_library(bundle: Path) -> None:
    """What is written to stays a process's own."""
    assert list(_outside(0, 100, [])) == [(0, 100)]
    assert list(_outside(0, 100, [(40, 60)])) == [(0, 40), (60, 100)]
    assert list(_outside(0, 100, [(90, 160)])) == [(0, 90)]
    assert list(_outside(0, 100, [(100, 160)])) == [(0, 100)]
    assert list(_outside(50, 100, [(0, 60)])) == [(60, 100)]
    (segment,) = loaded_segments(elf_file())
    assert (segment.offset, segment.address, segment.size, segment.flags) == (0, 0, 4096, 5)
