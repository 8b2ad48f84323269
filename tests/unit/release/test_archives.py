"""Archives and images of a small bundle made by hand: links, programs, folders, names beyond ASCII."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.bundle import manifest
from aotpack.bundle.manifest import BuildHost, Bundle, BundleFloors, FileRecord, Torch
from aotpack.cli.console import explain_os_error
from aotpack.errors import DamagedError, UsageError
from aotpack.release import archives, oci
from aotpack.release.contents import contents, refuse_inside, whole_bundle
from aotpack.release.dates import FIRST, release_date
from aotpack.release.packing import PackRequest, pack
from aotpack.tools import in_place
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.base.regular import SpecialFileError

LONG = "lib/" + "deep/" * 30 + "file with a long name, ümläute and spaces.txt"
FILES = {"bin/aotrun": b"a program", "models/mlp/weights.blob": bytes(5000), LONG: b"long", "lib/empty": b""}
LINKS = {"lib/link.so": "empty", "models/mlp/up": "../../bin/aotrun"}


def made(folder: Path, *, portable: bool = True) -> Path:
    """A sealed bundle of `FILES` and `LINKS`."""
    records = []
    for path, content in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        (folder / path).chmod(0o755 if path.startswith("bin/") else 0o644)
        digest = hashlib.sha256(content).hexdigest()
        executable = path.startswith("bin/")
        records.append(
            FileRecord(path=path, part="data", reason="test", size=len(content), sha256=digest, executable=executable)
        )
    for path, target in LINKS.items():
        (folder / path).symlink_to(target)
        records.append(FileRecord(path=path, part="data", reason="test", link=target))
    bundle = Bundle(
        aotpack="0",
        backend=Backend.CPU,
        runtime="slim",
        portable=portable,
        libc="bundled",
        python="bundled",
        torch=Torch("2.13.0", Backend.CPU),
        built_on=BuildHost(system="Linux", machine="x86_64", glibc=None, compiler="cc", python=None),
        floors=BundleFloors(),
        files=tuple(records),
    )
    (folder / DESCRIPTION).write_bytes(manifest.encode(bundle))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    return made(folder)


def tree(folder: Path) -> dict[str, object]:
    """Content and permissions of all files, targets of all links."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path)  # noqa: PTH115
        if path.is_symlink()
        else (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def packed(bundle: Path, form: str) -> bytes:
    items = contents(bundle, manifest.load_bundle(bundle))
    stream = io.BytesIO()
    read: list[int] = []
    archives.WRITERS[form](stream, bundle.name, items, release_date(), read.append)
    assert sum(read) == sum(map(len, FILES.values())) + (bundle / DESCRIPTION).stat().st_size
    return stream.getvalue()


def test_a_tar_gives_the_bundle_back(bundle: Path, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(bundle, "tar"))) as archive:
        members = archive.getmembers()
        archive.extractall(tmp_path / "out")  # noqa: S202
    assert tree(tmp_path / "out" / "small") == tree(bundle)
    assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in members} == {
        (0, 0, "", "", FIRST)
    }
    assert {member.mode for member in members if member.isdir()} == {0o755}
    names = [member.name for member in members]
    assert names.index("small/models") < names.index("small/models/mlp") < names.index("small/models/mlp/up")


def test_a_zip_says_modes_and_links_as_info_zip_does(bundle: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed(bundle, "zip"))) as archive:
        assert archive.testzip() is None
        infos = {info.filename: info for info in archive.infolist()}
        assert {info.date_time for info in infos.values()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.create_system for info in infos.values()} == {3}
        assert infos["small/bin/aotrun"].external_attr >> 16 == 0o100755
        assert infos[f"small/{LONG}"].external_attr >> 16 == 0o100644
        assert infos["small/models/"].external_attr >> 16 == 0o40755
        assert infos["small/lib/link.so"].external_attr >> 16 == 0o120777
        assert archive.read("small/models/mlp/up") == b"../../bin/aotrun"
        assert archive.read(f"small/{LONG}") == b"long"


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_neither_permissions_nor_clocks_nor_neighbours_get_in(form: str, bundle: Path, tmp_path: Path) -> None:
    first = packed(bundle, form)
    other = tmp_path / "elsewhere" / "small"
    other.mkdir(parents=True)
    umask = os.umask(0o077)
    try:
        made(other)
    finally:
        os.umask(umask)
    for path in other.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1, 1))
            path.chmod(0o700)
    (other / "lib" / "stray").write_text("not of the bundle")
    assert packed(other, form) == first


def test_the_date_is_that_of_the_environment(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    with tarfile.open(fileobj=io.BytesIO(packed(bundle, "tar"))) as archive:
        assert {member.mtime for member in archive.getmembers()} == {1700000000}
    with zipfile.ZipFile(io.BytesIO(packed(bundle, "zip"))) as zipped:
        assert {info.date_time for info in zipped.infolist()} == {(2023, 11, 14, 22, 13, 20)}


@pytest.mark.parametrize("text", ["yesterday", "-5", "0", "9999999999", "1e9", "³"])
def test_what_is_no_date_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        release_date()


def test_a_damaged_bundle_is_not_passed_on(bundle: Path, nothing: Callable[..., object]) -> None:
    (bundle / "lib" / "empty").write_text("not empty")
    with pytest.raises(DamagedError, match="lib/empty: has 9 bytes"):
        pack(PackRequest(bundle, "tar"), nothing)
    assert not bundle.with_name("small.tar").exists()


def test_a_development_bundle_stays(tmp_path: Path) -> None:
    folder = tmp_path / "linked"
    folder.mkdir()
    with pytest.raises(UsageError, match="development bundle"):
        whole_bundle(made(folder, portable=False))


def test_nothing_is_written_into_a_bundle(bundle: Path) -> None:
    refuse_inside(bundle.with_name("small.tar"), bundle)
    for output in (bundle / "out.tar", bundle, bundle / "lib" / ".." / "out.tar"):
        with pytest.raises(UsageError, match="inside of the bundle"):
            refuse_inside(output, bundle)


def test_a_failure_leaves_the_older_archive(tmp_path: Path) -> None:
    output = tmp_path / "mlp.tar"
    output.write_text("older")

    def fail() -> None:
        with archives.written(output) as stream:
            stream.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("mlp.tar", "older")]


def test_a_signature_beside_the_description_travels(bundle: Path) -> None:
    (bundle / "bundle.sig").write_text("{}")
    assert "small/bundle.sig" in tarfile.open(fileobj=io.BytesIO(packed_any(bundle))).getnames()  # noqa: SIM115


def packed_any(bundle: Path) -> bytes:
    stream = io.BytesIO()
    items = contents(bundle, manifest.load_bundle(bundle))
    archives.write_tar(stream, bundle.name, items, release_date(), lambda _done: None)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mlp", ("", "mlp", "latest")),
        ("mlp:1.0", ("", "mlp", "1.0")),
        ("team/mlp:1.0", ("", "team/mlp", "1.0")),
        ("localhost:5000/mlp:1.0", ("localhost:5000", "mlp", "1.0")),
        ("localhost/mlp", ("localhost", "mlp", "latest")),
        ("registry.example.org/team/mlp:v1", ("registry.example.org", "team/mlp", "v1")),
    ],
)
def test_names_of_images(text: str, expected: tuple[str, str, str]) -> None:
    found = oci.parse_reference(text, "--tag")
    assert (found.registry, found.name, found.tag) == expected


@pytest.mark.parametrize("text", ["", "MLP", "mlp:", "mlp:a b", "a//b", "-mlp", "mlp:1.0\n", "mlp@sha256:00", "a:b:c"])
def test_what_is_no_name_of_an_image(text: str) -> None:
    with pytest.raises(UsageError, match="not the name of an image"):
        oci.parse_reference(text, "--tag")


def test_an_image_layout_follows_the_specification(bundle: Path, tmp_path: Path) -> None:
    document = manifest.load_bundle(bundle)
    date = datetime.fromtimestamp(1700000000, timezone.utc)
    layout = tmp_path / "image"
    reference = oci.Reference("", "small", "1.0")
    items = contents(bundle, document)
    digest = oci.write_layout(layout, document, items, reference, date, {"licenses": "MIT"}, lambda _done: None)

    def blob(descriptor: dict[str, object]) -> bytes:
        content = (layout / "blobs" / "sha256" / str(descriptor["digest"]).removeprefix("sha256:")).read_bytes()
        assert len(content) == descriptor["size"]
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == descriptor["digest"]
        return content

    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == f"sha256:{digest}"
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "1.0"
    image = json.loads(blob(entry))
    config = json.loads(blob(image["config"]))
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Entrypoint"] == ["/opt/aotpack/bin/aotrun"]
    assert (config["architecture"], config["os"], config["created"]) == ("amd64", "linux", "2023-11-14T22:13:20Z")
    assert image["annotations"]["org.opencontainers.image.licenses"] == "MIT"
    plain = [gzip.decompress(blob(layer)) for layer in image["layers"]]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in plain]
    assert [layer["annotations"]["org.opencontainers.image.title"] for layer in image["layers"]] == [
        "runtime",
        "model mlp",
        "description",
    ]
    for layer in plain:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            archive.extractall(tmp_path / "root")  # noqa: S202
    assert tree(tmp_path / "root" / "opt" / "aotpack") == tree(bundle)


def test_two_bundles_share_the_layer_of_their_runtime(bundle: Path) -> None:
    items = contents(bundle, manifest.load_bundle(bundle))
    layers = dict(oci.layers_of(items))
    assert [item.path for item in layers["description"]] == [DESCRIPTION]
    assert all(item.path.startswith("models/mlp") for item in layers["model mlp"])
    assert not any(item.path.startswith("models/") for item in layers["runtime"])


@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        ({"form": "tar", "push": "localhost/mlp"}, "--push with --format tar"),
        ({"form": "oci", "push": "mlp"}, "names no registry"),
        ({"form": "oci", "tag": "Not A Name"}, "not the name of an image"),
    ],
)
def test_options_that_do_not_go_together(
    request_of: dict[str, str], words: str, bundle: Path, nothing: Callable[..., object]
) -> None:
    with pytest.raises(UsageError, match=words):
        pack(PackRequest(bundle, **request_of), nothing)  # type: ignore[arg-type]


def test_what_is_no_image_layout_is_not_replaced(bundle: Path, nothing: Callable[..., object]) -> None:
    output = bundle.with_name("precious")
    output.mkdir()
    (output / "work.txt").write_text("mine")
    with pytest.raises(UsageError, match="no image layout"):
        pack(PackRequest(bundle, "oci", output), nothing)
    assert (output / "work.txt").read_text() == "mine"
    first = pack(PackRequest(bundle, "oci", tag="small:1"), nothing)
    again = pack(PackRequest(bundle, "oci", tag="small:1"), nothing)
    assert first == again
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["precious", "small", "small-image"]


@pytest.mark.parametrize("what", ["another image", "another's image", "another file"])
def test_a_layout_that_holds_more_than_our_image_is_not_replaced(
    what: str, bundle: Path, nothing: Callable[..., object]
) -> None:
    request = PackRequest(bundle, "oci", tag="small:1")
    output = pack(request, nothing).output
    index = json.loads((output / "index.json").read_bytes())
    if what == "another image":
        index["manifests"].append({**index["manifests"][0], "annotations": {}})
        (output / "index.json").write_text(json.dumps(index))
    elif what == "another's image":
        blobs = output / "blobs" / "sha256"
        manifest_of = json.loads((blobs / index["manifests"][0]["digest"].partition(":")[2]).read_bytes())
        config = blobs / manifest_of["config"]["digest"].partition(":")[2]
        config.write_text(config.read_text().replace("aotpack: runtime", "/bin/sh -c make"))
    else:
        (output / "notes.txt").write_text("mine")
    before = sorted(output.rglob("*"))
    with pytest.raises(UsageError, match="no image layout"):
        pack(request, nothing)
    assert sorted(output.rglob("*")) == before


@pytest.mark.parametrize("in_one_step", [True, False])
def test_an_older_image_comes_back_when_the_new_one_cannot_take_its_place(
    in_one_step: bool, bundle: Path, nothing: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = PackRequest(bundle, "oci", tag="small:1")
    output = pack(request, nothing).output
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError("disk")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    if in_one_step:
        pack(request, nothing)  # no moment without an image, and no rename
    else:
        monkeypatch.setattr(in_place, "exchange", lambda *_: False)
        with pytest.raises(OSError, match="disk"):
            pack(request, nothing)
    assert oci.is_ours(output)
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["small", "small-image"]


def test_an_image_that_another_process_packs_meanwhile(
    bundle: Path, nothing: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one stays, whole; what is no image stays whatever comes."""
    request = PackRequest(bundle, "oci", tag="small:1")
    output = bundle.with_name("small-image")
    write = oci.write_layout

    def meanwhile(*arguments: object) -> str:
        monkeypatch.setattr(oci, "write_layout", write)
        pack(request, nothing)
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(oci, "write_layout", meanwhile)
    pack(request, nothing)
    assert oci.is_ours(output)

    def somebodys(*arguments: object) -> str:
        (output / "notes.txt").write_text("mine")
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(oci, "write_layout", somebodys)
    with pytest.raises(UsageError, match="no image layout"):
        pack(request, nothing)
    assert (output / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["small", "small-image"]


@pytest.mark.parametrize(("place", "words"), [("a folder", "is a folder"), ("/dev/null", "is a device")])
def test_an_archive_takes_the_place_of_files_alone(
    place: str, words: str, bundle: Path, nothing: Callable[..., object]
) -> None:
    (bundle.parent / "a folder").mkdir()
    with pytest.raises(SpecialFileError) as raised:
        pack(PackRequest(bundle, "tar", bundle.parent / place), nothing)
    error = explain_os_error(raised.value)
    assert (words in error.what, "neither read nor replaced" in (error.meaning or "")) == (True, True)
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["a folder", "small"]


def test_a_date_of_thousands_of_digits_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "9" * 5000)
    with pytest.raises(UsageError, match="not a number of seconds"):
        release_date()
