"""`aotpack verify` and the doctor on bundles made by hand: one reader, so that both say the same, whatever is wrong."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aotpack.bundle import manifest
from aotpack.bundle.manifest import BundleFloors
from aotpack.errors import AotpackError, DamagedError, UsageError
from aotpack.verifying.static import check_static
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.facts import Host, HostFacts
from aotpack_doctor.findings.catalog import examine
from aotpack_doctor.findings.finding import exit_code
from aotpack_doctor.reading.bundle import compare_contents, read_bundle
from tests.support.bundles.hand_made import AARCH64, AMD_GPU, elf_file, files, make_bundle, reseal


def told(folder: Path) -> dict[str, str]:
    """What verify says, by path."""
    return {problem.path: problem.what for problem in check_static(folder).problems}


def codes(folder: Path) -> set[str]:
    """What the doctor says of the same bundle."""
    host = Host(cpu_features=frozenset({"avx2"}))
    bundle, models = read_bundle(str(folder), host)
    facts = HostFacts(host=host, bundle=compare_contents(bundle, lambda _done: None), models=models)
    return {found.kind.code for found in examine(facts)}


def test_a_whole_bundle_is_whole_for_both(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path, links={"share/link": "notes.txt"})
    assert told(folder) == {}
    assert codes(folder) == set()


def remove(path: Path) -> None:
    path.unlink()


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_out(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def link_in_a_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def put_beside(path: Path) -> None:
    path.with_name("stranger").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "path", "what", "code"),
    [
        (remove, "share/notes.txt", "is missing", "AP502"),
        (append, "share/notes.txt", "has 14 bytes instead of 13", "AP501"),
        (flip, "share/notes.txt", "has another content: SHA-256", "AP501"),
        (replace_by_fifo, "share/notes.txt", "is a FIFO, where a file belongs", "AP501"),
        (replace_by_fifo, "lib/libaot_bridge.so", "is a FIFO, where a file belongs", "AP501"),
        (link_out, "share/notes.txt", "links to /etc/hostname, outside of the bundle", "AP505"),
        (link_in_a_circle, "share/notes.txt", "is a link to notes.txt in place of a file", "AP501"),
        (lambda path: path.chmod(0o644), "lib/libaot_bridge.so", "is no longer executable", None),
        (lambda path: path.chmod(0o644), "bin/aotrun", "may not be executed", "AP606"),
        (remove, "share/link", "is missing", "AP502"),
        (link_out, "share/link", "links to /etc/hostname, outside of the bundle", "AP505"),
        (link_in_a_circle, "share/link", "links to link instead of notes.txt", "AP501"),
    ],
)
def test_damage_is_the_same_for_both(
    damage: Callable[[Path], None], path: str, what: str, code: str | None, tmp_path: Path
) -> None:
    folder = make_bundle(tmp_path, links={"share/link": "notes.txt"})
    damage(folder / path)
    assert told(folder)[path].startswith(what)
    assert set(told(folder)) <= {path, "share/link"}  # the link leads to the file
    assert codes(folder) - {"AP510"} == ({code} if code else set())


def test_what_is_not_of_the_bundle_is_refused_by_verify_and_a_warning_of_the_doctor(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    put_beside(folder / "share/notes.txt")
    strange = os.fsdecode(b"share/\xff\n")
    (folder / strange).write_bytes(b"")
    assert told(folder) == dict.fromkeys(("share/stranger", strange), "is not part of the bundle")
    assert codes(folder) == {"AP503"}


LIBRARY = "lib/libx.so"


@pytest.mark.parametrize(
    ("library", "what", "code"),
    [
        (elf_file(runpath="/opt/lib"), "searches /opt/lib, outside of the bundle", "AP504"),
        (elf_file(runpath="$ORIGIN:$ORIGIN/../../x"), "searches $ORIGIN/../../x, outside of the bundle", "AP504"),
        (elf_file(executable_stack=True), "asks for an executable stack", "AP506"),
        (elf_file(needed=["libgone.so.1"]), "needs libgone.so.1, which is neither in the bundle", "AP507"),
        (elf_file(machine=AARCH64), "is code for aarch64 in a bundle for x86_64", "AP514"),
        (elf_file(machine=AMD_GPU, runpath="/opt/lib"), None, None),  # a GPU's code: no loader looks at it
        (b"\x7fELF and no more", "not a", "AP501"),
    ],
)
def test_libraries_are_the_same_for_both(library: bytes, what: str | None, code: str | None, tmp_path: Path) -> None:
    folder = make_bundle(tmp_path, {**files(), LIBRARY: library})
    assert set(told(folder)) == ({LIBRARY} if what else set())
    assert told(folder).get(LIBRARY, "").startswith(what or "")
    assert codes(folder) == ({code} if code else set())


def cuda_12(*, loaded_before: bool) -> dict[str, bytes]:
    """The libraries of a flat CUDA 12 bundle: NVIDIA's cuSPARSE, which must not be patched, looks for what it needs in
    a folder of its wheel. In lib/ it finds it all the same: its user has loaded it before."""
    jitlink = ["libnvJitLink.so.12"] if loaded_before else []
    return {
        **files(),
        "lib/libtorch_cuda.so": elf_file(needed=[*jitlink, "libcusparse.so.12"], runpath="$ORIGIN"),
        "lib/libcusparse.so.12": elf_file(needed=["libnvJitLink.so.12"], runpath="$ORIGIN/../../nvjitlink/lib:$ORIGIN"),
        "lib/libnvJitLink.so.12": elf_file(),
    }


def test_a_vendors_file_that_names_a_folder_of_its_wheel(tmp_path: Path) -> None:
    pristine = {"lib/libcusparse.so.12": {"pristine": True}}
    healthy = make_bundle(tmp_path / "healthy", cuda_12(loaded_before=True), records=pristine)
    assert told(healthy) == {}
    assert codes(healthy) == set()
    asked = make_bundle(tmp_path / "asked", cuda_12(loaded_before=False), records=pristine)
    what = "searches $ORIGIN/../../nvjitlink/lib, outside of the bundle, for libnvJitLink.so.12"
    assert told(asked) == {"lib/libcusparse.so.12": what}
    assert codes(asked) == {"AP504"}
    # What is not a vendor's could have been patched.
    ours = make_bundle(tmp_path / "ours", cuda_12(loaded_before=True))
    assert told(ours) == {"lib/libcusparse.so.12": "searches $ORIGIN/../../nvjitlink/lib, outside of the bundle"}


def test_a_vendors_file_is_held_against_the_wheels_own_record(tmp_path: Path) -> None:
    records = {LIBRARY: {"pristine": True, "wheel_sha256": "0" * 64}}
    folder = make_bundle(tmp_path, {**files(), LIBRARY: elf_file()}, records=records)
    assert "the vendor's wheel recorded" in told(folder)[LIBRARY]
    assert codes(folder) == {"AP501"}


def test_glibcs_libraries_may_be_the_targets(tmp_path: Path) -> None:
    contents = files() | {"lib/libx.so": elf_file(needed=["libmvec.so.1", "libnss_dns.so.2", "ld-linux-x86-64.so.2"])}
    del contents["libc/libc.so.6"]
    floors = BundleFloors(cpu_features=("avx2",), glibc="2.28")
    folder = make_bundle(tmp_path / "host", contents, libc="host", floors=floors)
    assert told(folder) == {}
    assert codes(folder) == set()
    assert set(told(make_bundle(tmp_path / "bundled", contents))) == {
        "lib/libx.so",
        "lib/libaot_bridge.so",
        "models/mlp/model.so",
    }


def model_json(folder: Path, **changes: Any) -> None:
    """Change a model's own description, and seal it as if it had always been so."""
    path = folder / "models/mlp/model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    document = json.loads((folder / DESCRIPTION).read_text())
    for record in document["files"]:
        if record["path"] == "models/mlp/model.json":
            content = path.read_bytes()
            record.update(size=len(content), sha256=manifest.hashlib.sha256(content).hexdigest())
    reseal(folder, document)


def test_what_both_descriptions_say_is_compared(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    model_json(folder, cpu_features=[], device="cuda")
    path = "models/mlp/model.json"
    assert told(folder) == {path: "says something else than bundle.json of cpu_features, device"}
    assert codes(folder) == {"AP513"}
    model_json(folder, inputs="none")
    assert "bundle.json of cpu_features, device, inputs" in told(folder)[path]


def test_a_bundle_asks_for_what_its_models_need(tmp_path: Path) -> None:
    lacking = make_bundle(tmp_path / "features", floors=BundleFloors())
    assert "needs the CPU features avx2 that the bundle does not declare" in told(lacking)["models/mlp/model.json"]
    old = make_bundle(tmp_path / "glibc", libc="host", floors=BundleFloors(cpu_features=("avx2",), glibc="2.17"))
    assert told(old)["models/mlp/model.json"] == "needs glibc 2.28, the bundle declares 2.17"
    assert codes(lacking) == codes(old) == {"AP513"}


# ---- bundle.json is anybody's ---------------------------------------------------------------------------------------


def test_a_description_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle")
    (folder / DESCRIPTION).rename(tmp_path / "elsewhere.json")
    with pytest.raises(UsageError, match=r"has no bundle\.json"):
        check_static(folder)
    (folder / DESCRIPTION).symlink_to("../elsewhere.json")
    with pytest.raises(DamagedError, match="is a link, where a file belongs"):
        check_static(folder)
    assert codes(folder) == {"AP508"}
    (folder / DESCRIPTION).unlink()
    os.mkfifo(folder / DESCRIPTION)
    with pytest.raises(DamagedError, match="is a FIFO, where a file belongs"):
        check_static(folder)
    assert codes(folder) == {"AP508"}


HOSTILE_PATHS = ("", "/etc/passwd", "../x", "a/../../x", "a//b", ".", "x" * 5000, "a\0b", "share/notes.txt/x", "\udcff")


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_hostile_path_in_a_description(path: str, tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    document = json.loads((folder / DESCRIPTION).read_text())
    document["files"][0]["path"] = path
    try:
        reseal(folder, document)
    except UnicodeEncodeError:
        (folder / DESCRIPTION).write_text(json.dumps(document))
    judged(folder)


def judged(folder: Path) -> None:
    """Both come to a verdict, and it is that the bundle is damaged."""
    try:
        assert told(folder)
    except AotpackError as error:
        assert error.exit_code == 6  # noqa: PT017
    bundle, models = read_bundle(str(folder), Host())
    facts = HostFacts(host=Host(), bundle=compare_contents(bundle, lambda _done: None), models=models)
    findings = examine(facts)
    assert "AP190" not in {found.kind.code for found in findings}
    assert exit_code(findings) in (5, 6)


@pytest.mark.parametrize(
    "change",
    [
        {"floors": {"glibc": "no version", "kernel": "\n", "driver": "5" * 5000}},
        {"models": {"x" * 5000: {}}},
        {"models": {"../../etc": {}}},
        {"models": {"a\0b": {}}},
        {"schema": 10**30},
        {"schema": -1},
        {"built_on": {"machine": "x"}},
        {"files": [{"path": "a", "part": "p", "reason": "r", "size": 10**30, "sha256": "0"}]},
        {"files": [{"path": "a", "part": "p", "reason": "r", "link": "../" * 2000}]},
        {"host_libraries": ["\ud800"]},
    ],
)
def test_a_hostile_description(change: dict[str, Any], tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    document = {**json.loads((folder / DESCRIPTION).read_text()), **change}
    try:
        reseal(folder, document)
    except (UnicodeEncodeError, OverflowError):
        (folder / DESCRIPTION).write_text(json.dumps(document))
    judged(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(HOSTILE_PATHS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return (
        [here, *(place for key, each in inner for place in places(each, (*here, key)))]
        if here
        else [place for key, each in inner for place in places(each, (key,))]
    )


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_value_anywhere_in_a_description_comes_to_a_verdict(data: st.DataObject, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "bundle", ignore_errors=True)
    folder = make_bundle(tmp_path / "bundle")
    document = json.loads((folder / DESCRIPTION).read_text())
    *way, last = data.draw(st.sampled_from(places(document)))
    changed = copy.deepcopy(document)
    inner = changed
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(JSON)
    try:
        reseal(folder, changed)
    except (UnicodeEncodeError, OverflowError):
        (folder / DESCRIPTION).write_text(json.dumps(changed))
    try:
        check_static(folder)
    except AotpackError as error:
        assert error.exit_code == 6  # noqa: PT017
    bundle, models = read_bundle(str(folder), Host())
    facts = HostFacts(host=Host(), bundle=compare_contents(bundle, lambda _done: None), models=models)
    assert "AP190" not in {found.kind.code for found in examine(facts)}
