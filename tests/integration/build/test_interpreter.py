"""The interpreter that travels: every Python of this machine, trimmed, in a root that holds nothing else."""

from __future__ import annotations

import io
import json
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from aotpack.bundle.entries import Copy
from aotpack.elf import relocations
from aotpack.elf.edits import strip_copy
from aotpack.errors import BuildToolError
from aotpack.interpreter import selection
from aotpack.interpreter.selection import plan_interpreter
from aotpack.tools.sandbox import INSIDE, find_sandbox
from tests.support.bundles.bare_bundle import assemble
from tests.support.machines import isolation
from tests.support.machines.pythons import other_pythons
from tests.support.packages.exporting import ROOT

#: Imports every module that is inside and none that is not, with warnings off as for a user.
IMPORT_ALL = """
import json, os, sys
library = next(path for path in sys.path if os.path.exists(os.path.join(path, "os.pyc")))
failed = {}
for folder, folders, files in os.walk(library):
    for file in files:
        name = os.path.relpath(os.path.join(folder, file.split(".")[0]), library).replace(os.sep, ".")
        name = name[:-9] if name.endswith(".__init__") else name.replace("lib-dynload.", "")
        try:
            __import__(name)
        except Exception as error:
            failed[name] = repr(error)
print(json.dumps(failed))
"""

#: Shows an exception itself, as -v does, then ends with it.
FAIL = """
import sys
def first():
    return 1 / 0
def second():
    try:
        first()
    except ZeroDivisionError as error:
        raise KeyError("told") from error
try:
    second()
except KeyError:
    sys.__excepthook__(*sys.exc_info())
    raise
"""


@pytest.fixture(
    scope="module",
    params=[pytest.param(path, id=str(path.resolve())) for path in (Path(sys.executable), *other_pythons())],
)
def python(request: pytest.FixtureRequest) -> Path:
    """One of them."""
    path = request.param
    assert isinstance(path, Path)
    return path


def in_empty_root(bundle: Path) -> subprocess.CompletedProcess[str]:
    box = isolation.empty_root()
    return subprocess.run(
        box.command(bundle, [f"{INSIDE}/bin/aotrun"]), capture_output=True, text=True, check=False, timeout=60
    )


def test_runs_where_nothing_else_is(python: Path, tmp_path: Path) -> None:
    bundle = assemble(tmp_path / "bundle", python)
    done = in_empty_root(bundle)
    assert (done.returncode, done.stderr) == (0, "")
    probe = json.loads(done.stdout)
    assert probe["executable"] == f"{INSIDE}/python/bin/python3"
    assert probe["prefix"] == f"{INSIDE}/python"
    assert probe["sha256"].startswith("e3b0c442")
    size = sum(path.stat().st_size for path in (bundle / "python").rglob("*") if path.is_file())
    assert size <= 12_000_000

    # What travels is whole: every module in it can be imported.
    (bundle / "runner" / "aotrun" / "__main__.py").write_text(IMPORT_ALL)
    done = in_empty_root(bundle)
    assert (done.returncode, json.loads(done.stdout)) == (0, {}), done.stderr

    # It shows where an error came from, and what caused that.
    (bundle / "runner" / "aotrun" / "__main__.py").write_text(FAIL)
    done = in_empty_root(bundle)
    assert done.returncode == 1
    for words in (
        "Traceback",
        "in first",
        "ZeroDivisionError: ",
        "was the direct cause",
        "in second",
        "KeyError: 'told'",
    ):
        assert done.stderr.count(words) in (2, 4), (words, done.stderr)

    # And nothing in it tells of the build machine.
    # A checkout in a folder as short as /src says nothing: libraries of others name such folders as well.
    own = [str(ROOT)] if len(ROOT.parts) > 2 else []
    traces = [str(python.resolve().parents[1]), str(Path.home()), *own, "python-build."]
    for path in (bundle / "python").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            told = [trace for trace in traces if trace not in ("/", "/usr") and trace.encode() in content]
            assert not told, path


def data_of(elf: ELFFile, name: str) -> bytes:
    section = elf.get_section_by_name(name)
    assert section is not None
    return bytes(section.data())


def pointers(content: bytes) -> dict[int, int]:
    """Place in memory -> what the loader writes there, less the load address, of all that needs no other file."""
    elf = ELFFile(io.BytesIO(content))
    symbols = [(home, value) for _, _, _, home, value, _ in struct.iter_unpack("<IBBHQQ", data_of(elf, ".dynsym"))]
    dynamic = elf.get_section_by_name(".dynamic")
    assert isinstance(dynamic, DynamicSection)
    tags = {tag.entry.d_tag: tag.entry.d_val for tag in dynamic.iter_tags()}

    loaded = [(s["p_vaddr"], s["p_filesz"], s["p_offset"]) for s in elf.iter_segments("PT_LOAD")]

    def at(address: int, size: int) -> bytes:
        offset = next(offset + address - start for start, room, offset in loaded if start <= address < start + room)
        return content[offset : offset + size]

    found = {}
    for place, info, addend in struct.iter_unpack("<QQq", at(tags["DT_RELA"], tags["DT_RELASZ"])):
        home, value = symbols[info >> 32]
        if info & 0xFFFFFFFF == 8:
            found[place] = addend
        elif info & 0xFFFFFFFF == 1 and home != 0:
            found[place] = value + addend
    if "DT_RELR" in tags:
        where = 0
        for (word,) in struct.iter_unpack("<Q", at(tags["DT_RELR"], tags["DT_RELRSZ"])):
            places = [where + 8 * bit for bit in range(63) if word >> (bit + 1) & 1] if word & 1 else [word]
            where = where + 63 * 8 if word & 1 else word + 8
            found.update((place, struct.unpack("<Q", at(place, 8))[0]) for place in places)
    return found


@pytest.mark.skipif(platform.machine() != "x86_64", reason="knows this machine's relocations only")
def test_a_packed_library_gets_the_same_pointers(python: Path, tmp_path: Path) -> None:
    plan = plan_interpreter(python)
    libraries = [root.path for root in plan.roots if root.name.startswith(("libpython", "_ctypes"))]
    if not libraries:
        pytest.skip("all of this Python is in its executable")
    for library in libraries:
        strip_copy(library, tmp_path / library.name)
        plain = (tmp_path / library.name).read_bytes()
        packed = relocations.packed_bytes(plain)
        assert len(packed) < len(plain)
        assert pointers(packed) == pointers(plain) != {}


def test_what_lies_beside_the_packages_does_not_travel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the site-packages that hold aotpack there may be anything, also under the names of standard modules."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    site = tmp_path / "site-packages"
    ours = site / "ours"
    ours.mkdir(parents=True)
    (ours / "__init__.py").write_text("import json\nimport struct\n\nimport ours.part\n")
    (ours / "part.py").write_text("try:\n    import numpy\nexcept ImportError:\n    numpy = None\n")
    (site / "numpy").mkdir()
    (site / "numpy/__init__.py").write_text("import numpy.core\n")
    (site / "numpy/core.so").write_bytes(b"\x7fELF" + bytes(1000))
    for name in ("struct", "json", "encodings", "os", "zlib"):
        (site / f"{name}.py").write_text("PLANTED = 'planted'\n")
    plan = plan_interpreter(Path(sys.executable), [ours])
    copies = {entry.destination: entry.content.source for entry in plan.entries if isinstance(entry.content, Copy)}
    assert [place for place in copies if "numpy" in place] == []
    assert {"runner/ours/part.py", "runner/ours/__init__.py"} <= {
        place.replace("/__pycache__", "").split(".cpython")[0] + ".py" for place in copies if "runner/" in place
    }
    library = f"python/lib/python{plan.version}"
    assert {f"{library}/struct.pyc", f"{library}/json/__init__.pyc", f"{library}/os.pyc"} <= set(copies)
    assert [place for place, source in copies.items() if b"planted" in source.read_bytes()] == []
    assert [root.path for root in plan.roots if root.path.is_relative_to(site)] == []


def test_the_licence_of_the_interpreter_travels(python: Path) -> None:
    entries = {entry.destination: entry.content for entry in plan_interpreter(python).entries}
    text = entries["licenses/python/LICENSE.txt"]
    assert isinstance(text, Copy)
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in text.source.read_text(errors="replace").upper()


def test_a_module_that_only_lies_beside_the_packages_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours/__init__.py").write_text("import sibling\n")
    (tmp_path / "sibling.py").write_text("")
    with pytest.raises(BuildToolError) as caught:
        plan_interpreter(Path(sys.executable), [tmp_path / "ours"])
    assert "no module sibling" in caught.value.detail


def test_same_sources_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        plan = plan_interpreter(Path(sys.executable))
        copies = {entry.destination: entry.content for entry in plan.entries}
        contents.append({at: copy.source.read_bytes() for at, copy in copies.items() if isinstance(copy, Copy)})
        assert set(contents[-1]) == set(copies)
    assert contents[0] == contents[1]


def test_is_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan_interpreter(Path(sys.executable))
    monkeypatch.setattr(selection, "_fill", lambda *_: pytest.fail("planned again"))
    assert plan_interpreter(Path(sys.executable)) == first


def test_has_what_the_runner_imports_and_no_more(backend_venv: Path) -> None:
    plan = plan_interpreter(backend_venv / "bin" / "python3")
    places = {entry.destination for entry in plan.entries}
    library = f"python/lib/python{plan.version}"
    for module in ("os", "ctypes/__init__", "json/__init__", "encodings/cp437", "struct"):
        assert f"{library}/{module}.pyc" in places or f"{library}/{module}/__init__.pyc" in places
    for module in (
        "unittest/__init__",
        "asyncio/__init__",
        "ssl",
        "pydoc",
        "email/__init__",
        "site",
        "hashlib",
        "zipfile",
    ):
        assert f"{library}/{module}.pyc" not in places
    assert f"runner/aotrun/__pycache__/cli.cpython-{plan.version.replace('.', '')}.pyc" in places


@pytest.mark.parametrize(
    ("script", "word"), [("exit 3", "exit status 3"), ("echo broken >&2; exit 1", "exit status 1")]
)
def test_an_interpreter_that_does_not_run(tmp_path: Path, script: str, word: str) -> None:
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    with pytest.raises(BuildToolError, match=word):
        plan_interpreter(python)


def test_a_runner_that_outgrows_the_library_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("import json\n")
    (package / "part.py").write_text("def f():\n    import statistics\n")
    with pytest.raises(BuildToolError) as caught:
        plan_interpreter(Path(sys.executable), [package])
    assert "package.part imports statistics" in caught.value.detail


def test_devices_are_shown_with_proc_and_sys(tmp_path: Path) -> None:
    """As a GPU's driver needs them; without devices there is none of it."""
    box = find_sandbox()
    if box is None or box.name == "chroot":
        isolation.no_namespaces("a plain chroot shows no devices")
    bundle = assemble(tmp_path / "bundle", Path(sys.executable))
    (bundle / "runner" / "aotrun" / "__main__.py").write_text(
        "import os\n"
        "print(*sorted(os.listdir('/')))\n"
        "if os.path.exists('/dev/zero'):\n"
        "    descriptor = os.open('/dev/zero', os.O_RDWR)\n"
        "    print(os.read(descriptor, 2), os.write(descriptor, b'x'), os.readlink('/proc/self/exe'))\n"
    )
    alone, with_device = (
        subprocess.run(
            box.command(bundle, [f"{INSIDE}/bin/aotrun"], devices=devices),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.splitlines()
        for devices in ((), (Path("/dev/zero"),))
    )
    assert alone == ["bundle"]
    assert with_device[0].split() == ["bundle", "dev", "proc", "sys"]
    assert with_device[1].startswith("b'\\x00\\x00' 1 /bundle/")
