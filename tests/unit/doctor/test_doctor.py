"""The doctor's own machinery: codes, order, exit codes, documents, texts."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from aotpack import resources
from aotpack_doctor import on_target, render
from aotpack_doctor.base import elf, gpu_code, versions
from aotpack_doctor.base.printable import quoted
from aotpack_doctor.facts import Bundle, Fault, FaultKind, Host, HostFacts
from aotpack_doctor.findings import catalog, finding
from aotpack_doctor.findings.catalog import examine
from aotpack_doctor.findings.explain import explain, explainable
from aotpack_doctor.findings.finding import Finding, Kind, Severity
from aotpack_doctor.findings.registry import Check
from aotpack_doctor.reading import host

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((resources.SCHEMAS / "findings.schema.json").read_text())
KINDS = list(catalog.kinds().values())


def kind(code: str, severity: Severity = Severity.ERROR, exit_code: int = 1) -> Kind:
    return Kind(code, severity, "title", "meaning", exit_code)


# ---- codes and documentation -----------------------------------------------------------------------------------


def test_codes_are_unique_and_well_formed() -> None:
    codes = [each.code for check in catalog.checks() for each in check.kinds]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"AP[1-6]\d\d", each.code) for each in KINDS)
    assert {each.exit_code for each in KINDS} <= {1, 3, 4, 5, 6, 7}


def test_a_check_stays_within_one_group() -> None:
    for check in catalog.checks():
        assert {each.group for each in check.kinds} == {check.group}, check.name


@pytest.mark.parametrize("each", KINDS, ids=lambda each: each.code)
def test_every_code_has_its_section(each: Kind) -> None:
    page = (ROOT / "docs/doctor.md").read_text()
    section = re.search(rf"^### {each.code}\n\n\*\*(.+?)\.\*\*(.*?)(?=^##)", page + "\n##", re.MULTILINE | re.DOTALL)
    assert section, f"docs/doctor.md has no section {each.code}"
    assert section[1] == each.title
    assert len(section[2].split()) > 15


def test_the_page_has_no_section_without_a_code() -> None:
    page = (ROOT / "docs/doctor.md").read_text()
    assert re.findall(r"^### (AP\d+)$", page, re.MULTILINE) == [each.code for each in KINDS]


# ---- order, exit code, document --------------------------------------------------------------------------------


def test_worst_first() -> None:
    ordered = [
        kind("AP501", exit_code=6).found("a"),
        kind("AP201", exit_code=3).found("a"),
        kind("AP101", exit_code=4).found("a"),
        kind("AP401", exit_code=5).found("a"),
        kind("AP310", exit_code=7).found("a"),
        kind("AP601", exit_code=7).found("a"),
        kind("AP503", Severity.WARNING, 6).found("a"),
        kind("AP409", Severity.INFO, 5).found("a"),
    ]
    assert finding.worst_first(ordered[::-1]) == ordered


def test_only_errors_make_the_exit_code() -> None:
    warning = kind("AP503", Severity.WARNING, 6).found("a")
    machine, torch = kind("AP601", exit_code=7).found("a"), kind("AP201", exit_code=3).found("a")
    assert finding.exit_code([]) == 0
    assert finding.exit_code([warning]) == 0
    assert finding.exit_code([warning, machine]) == 7
    assert finding.exit_code([machine, torch]) == 3
    assert finding.exit_code([kind("AP601", exit_code=7).found("a", severity=Severity.WARNING)]) == 0


def test_the_document_follows_its_schema() -> None:
    findings = [each.found("seen", "do this") for each in KINDS]
    document = finding.document(findings)
    jsonschema.validate(document, SCHEMA)
    jsonschema.validate(finding.document([]), SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(finding.document([kind("AP999").found("seen")]), SCHEMA)


def test_a_check_that_crashes_is_a_finding_and_the_others_go_on() -> None:
    def crash(facts: HostFacts) -> Iterator[Finding]:
        yield kind("AP101").found("before")
        raise ZeroDivisionError("no reason")

    def work(facts: HostFacts) -> Iterator[Finding]:
        yield kind("AP103").found("after")

    checks = (Check("crash", (kind("AP101"),), crash), Check("work", (kind("AP103"),), work))
    found = {each.kind.code: each for each in examine(HostFacts(), checks)}
    assert set(found) == {"AP101", "AP103", "AP190"}
    assert found["AP190"].seen == "check crash: ZeroDivisionError: no reason"
    assert found["AP190"].severity is Severity.WARNING


def test_unknown_facts_are_no_findings() -> None:
    for backend in ("cpu", "cuda", "rocm"):
        assert examine(HostFacts(backend=backend, runs_here=True, host=Host(cpu_features=None))) == []


# ---- pasted messages -------------------------------------------------------------------------------------------

MESSAGES = {
    "hipErrorNoBinaryForGpu: Unable to find code object for all current devices!": "AP332",
    "RuntimeError: HIP error: invalid device function": "AP332",
    "RuntimeError: CUDA error: invalid device function": "AP313",
    "RuntimeError: CUDA error: no kernel image is available for execution on the device": "AP313",
    "CUDA driver version is insufficient for CUDA runtime version": "AP311",
    "The NVIDIA driver on your system is too old (found version 11040).": "AP311",
    "Failed to initialize NVML: Driver/library version mismatch": "AP318",
    "RuntimeError: Found no NVIDIA driver on your system.": "AP310",
    "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory": "AP310",
    'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].': "AP315",
    "CUDA driver is a stub library": "AP316",
    "libcusparse.so.12: undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12": "AP208",
    "libcudart.so.12: cannot open shared object file: No such file or directory": "AP319",
    "rocBLAS error: Cannot read /x/lib/rocblas/library/TensileLibrary.dat: No such file or directory": "AP335",
    "rocblas_abort: cannot read ../rocblas/library/TensileLibrary_lazy_gfx90a.dat": "AP335",
    "Unable to open /dev/kfd read-write: Permission denied": "AP331",
    "RuntimeError: No HIP GPUs are available": "AP330",
    "/lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by ./model.so)": "AP602",
    "version GLIBCXX_3.4.32 not found": "AP602",
    "./model.so: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found": "AP601",
    "version GLIBC_2.38 not found": "AP601",
    "Illegal instruction (core dumped)": "AP603",
    "libx.so: cannot enable executable stack as shared object requires: Permission denied": "AP506",
    "libaot_bridge.so: failed to map segment from shared object: Operation not permitted": "AP605",
    "./libtorch_cpu.so: file too short": "AP501",
    "bash: ./aotrun: cannot execute binary file: Exec format error": "AP604",
    "ERROR: ld.so: object '/x/libjemalloc.so' from LD_PRELOAD cannot be preloaded": "AP607",
    "RuntimeError: No such operator torchvision::nms": "AP408",
    "model.so: undefined symbol: aoti_torch_cpu_of_tomorrow": "AP411",
    "libfoo.so.1: cannot open shared object file: No such file or directory": "AP507",
    "OSError: [Errno 28] No space left on device": "AP106",
    "ModuleNotFoundError: No module named 'torch'": "AP201",
    # What people met in the field.
    "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 804: forward compatibility was attempted on non "
    "supported HW": "AP311",
    "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.4, please update your driver": "AP311",
    "RuntimeError: CUDA error: the provided PTX was compiled with an unsupported toolchain.": "AP312",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity": "AP412",
    "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB": "AP412",
    "RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment": "AP320",
    "Failed to initialize NVML: Unknown Error": "AP320",
    "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized": "AP320",
    "RuntimeError: No CUDA GPUs are available": "AP321",
    "docker: Error response from daemon: unknown or invalid runtime name: nvidia.": "AP315",
    "ImportError: /usr/lib/x86_64-linux-gnu/libcuda.so.1: file too short": "AP315",
    "RuntimeError: The detected CUDA version (11.8) mismatches the version that was used to compile PyTorch (12.1)": (
        "AP301"
    ),
    "AssertionError: Torch not compiled with CUDA enabled": "AP202",
    "NotImplementedError: Could not run 'aten::empty.memory_format' with arguments from the 'CUDA' backend.": "AP202",
    "ImportError: libtorch_cpu.so: undefined symbol: iJIT_NotifyEvent": "AP208",
    "ImportError: libtorch_cuda.so: undefined symbol: ncclCommRegister": "AP208",
    "nvrtc: error: failed to open libnvrtc-builtins.so.12.8.": "AP319",
    "Could not load library libcudnn_cnn_infer.so.8. Error: libcuda.so: no such file": "AP319",
    "Unable to load any of {libcudnn_cnn.so.9.1.0, libcudnn_cnn.so.9.1, libcudnn_cnn.so.9, libcudnn_cnn.so}": "AP319",
    "MIOpen(HIP): Warning [SQLiteBase] Missing system database file: gfx1030_36.kdb Performance may degrade.": "AP335",
    "rocBLAS error from hip error code: 'hipErrorInvalidDeviceFunction':98": "AP332",
    "RuntimeError: CUDA driver error: file not found": "AP502",
    "RuntimeError: CUDA driver error: device kernel image is invalid": "AP406",
    "RuntimeError: Failed to find a generated cpp file or so file for model 'forward' in the zip archive.": "AP401",
    "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory": "AP401",
    "torch._inductor.exc.InvalidCxxCompiler: No working C++ compiler found in config.cpp.cxx: (None, 'g++')": "AP101",
    "RuntimeError: Failed to find C compiler. Please specify via CC environment variable.": "AP101",
    "ops.so: undefined symbol: _ZN3c106detail14torchCheckFailEPKcS2_jRKSs": "AP411",
    "FATAL: kernel too old": "AP608",
    "OSError: /x/libgomp-a34b3233.so.1: cannot allocate memory in static TLS block": "AP512",
    "OMP: Error #15: Initializing libiomp5.so, but found libomp.so already initialized.": "AP511",
    "Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by ./app)": "AP601",
    "bash: line 1: ./app: cannot execute: required file not found": "AP601",
    "bash: dist/mlp/bin/aotrun: Permission denied": "AP606",
    # What a process ends with, and what a runner, a library or a doctor says of itself.
    "Killed": "AP609",
    "./run.sh: line 3: 12345 Killed                  dist/mlp/bin/aotrun infer --input x.npy": "AP609",
    "Main process exited with code 137": "AP609",
    "MemoryError": "AP609",
    "terminate called after throwing an instance of 'std::bad_alloc'": "AP609",
    "error: libgomp.so.1 cannot be opened: Cannot allocate memory": "AP609",
    "error: /b/bundle.json: Too many open files": "AP609",
    "Segmentation fault (core dumped)": "AP610",
    "Aborted": "AP610",
    "Floating point exception (core dumped)": "AP610",
    "Bus error (core dumped)": "AP611",
    "error: /b/models/m needs GLIBC_2.38, which this system's libraries do not have": "AP601",
    "error: m.pt2 needs libtorch_cpu.so, which is no part of this bundle's runtime": "AP411",
    "error: m.pt2 needs the function aoti_torch_cpu_x, which this runtime does not have": "AP411",
    "error: model.so is code for aarch64; this machine is x86_64": "AP403",
    "This CPU has not got these instructions; the model would be killed by the first of them.": "AP404",
    "error: m has layers of float16, for which libtorch needs CPU features that this machine lacks: x": "AP616",
    "error: m.pt2 has weights of four bits in torch's order for AVX512; libtorch takes this CPU for AVX2": "AP614",
    "error: /b/lib/libaot_bridge.so may not be used: Permission denied": "AP606",
    "error: not allowed to look at: /b/python/bin/python3": "AP606",
    "lib/x.so: has another content: SHA-256 0123456789ab..., sealed ba9876543210...": "AP501",
    "error: models/mlp/model.so has 5 bytes, not 10": "AP501",
    "error: missing interpreter: /b/python/bin/python3": "AP502",
    "error: AP603": "AP603",
    "AP513": "AP513",
}


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_leads_to_its_finding(message: str) -> None:
    found = explain(f"Traceback (most recent call last):\n  File x\n{message}\n")
    assert [each.kind.code for each in found] == [MESSAGES[message]]
    assert found[0].seen == message
    assert found[0].fix
    assert "{0}" not in "".join(found[0].fix)
    # What is only a warning where it is said.
    mild = "LD_PRELOAD" in message or "Warning" in message
    assert found[0].severity is (Severity.WARNING if mild else Severity.ERROR)
    jsonschema.validate(finding.document(found), SCHEMA)


def test_every_pattern_has_a_message() -> None:
    assert set(MESSAGES.values()) >= explainable()


def test_a_text_with_several_messages_has_several_findings() -> None:
    text = "version `GLIBC_2.38' not found\nIllegal instruction\nversion `GLIBC_2.34' not found\n"
    assert [each.kind.code for each in explain(text)] == ["AP601", "AP603"]


@pytest.mark.parametrize("text", ["", "hello", "it does not work", "undefined", "error: expected ';' before '}' token"])
def test_a_text_that_is_not_known(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert on_target.main(["--explain", "-"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "no message that the doctor knows" in said.err
    assert "paste the whole output" in said.err


@pytest.mark.parametrize("code", [each.code for each in KINDS])
def test_a_code_alone_is_explained_by_its_section(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = str(ROOT / "docs/doctor.md")
    assert on_target.write_explanation(f" {code.lower()}\n", False, "aotpack doctor", page) == 0
    capsys.readouterr()
    assert on_target.write_explanation(code, False, "aotrun doctor", page) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{code}\n\n**")
    assert "\n#" not in said
    # Where the page is not at hand there is still what the code says in short.
    assert on_target.write_explanation(code, False, "aotrun doctor", "/nowhere") == 0
    assert capsys.readouterr().out.startswith(f"{code}  ")


def test_a_code_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert on_target.main(["--explain", "AP999"]) == 2
    assert on_target.main(["--explain", "AP603", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == "AP603"


def test_explanations_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Illegal instruction"))
    assert on_target.main(["--explain", "-", "--json"]) == 7
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert document["findings"][0]["code"] == "AP603"


# ---- the text for people ---------------------------------------------------------------------------------------


def test_one_line_a_group_when_all_is_well() -> None:
    text = render.report(HostFacts(), [], render.plain)
    assert text.splitlines() == ["ok           host     Linux · x86_64 · libc not known", "", "All is well."]


def test_details_worst_first_and_the_next_step_last() -> None:
    findings = [
        kind("AP503", Severity.WARNING, 6).found("notes.txt", "rm notes.txt"),
        kind("AP201", exit_code=3).found("nothing there", "aotpack init --backend cpu", "or another way"),
    ]
    text = render.report(HostFacts(), findings, render.plain)
    assert text.index("error AP201") < text.index("warning AP503")
    assert "  fix      aotpack init --backend cpu\n  or       or another way\n" in text
    assert text.splitlines()[-1] == "1 error, 1 warning. Next: aotpack init --backend cpu"
    assert all(len(line) <= 110 for line in text.splitlines())


def test_colours_change_no_words() -> None:
    findings = [each.found("seen", "do this") for each in KINDS]
    painted = render.report(HostFacts(), findings, render.ansi)
    assert re.sub(r"\033\[[\d;]*m", "", painted) == render.report(HostFacts(), findings, render.plain)


def test_names_move_no_cursor_and_run_nothing() -> None:
    name = "lib/\033]0;x\a$(reboot) 'a'\n.so"
    bundle = Bundle("/my bundle", faults=(Fault(name, "is not part of the bundle", FaultKind.FOREIGN),))
    text = render.report(HostFacts(bundle=bundle), examine(HostFacts(bundle=bundle)), render.plain)
    assert "\033" not in text
    assert "\a" not in text
    fix = examine(HostFacts(bundle=bundle))[0].fix[0]
    assert fix == f"cd '/my bundle' && rm {quoted(f'./{name}')}"


WORDS = [
    "",
    "a b",
    "-rf",
    "$HOME",
    "it's",
    "~",
    "*",
    "a;b",
    "plain/path-1.so+x",
    "ü",
    "a\nb",
    "\033[2J'\\x",
    "\udcff\udc80ü",
]


@pytest.mark.parametrize("text", WORDS)
def test_quoted_words_are_one_word_for_a_shell(text: str) -> None:
    word = quoted(text)
    assert word.isprintable()
    done = subprocess.run(["bash", "-c", f"printf %s -- {word}"], capture_output=True, check=True)
    assert done.stdout == b"--" + os.fsencode(text)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert on_target.main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(KINDS)
    assert on_target.main(["--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["checks"]
    assert [row["code"] for row in rows] == [each.code for each in KINDS]


def test_unknown_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert on_target.main(["--frobnicate"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


# ---- small parts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpu", "archs", "way"),
    [
        ("sm_90", ("sm_90",), "native"),
        ("sm_86", ("sm_80",), "native"),
        ("sm_80", ("sm_86",), None),
        ("sm_90", ("sm_80",), None),
        ("sm_90", ("sm_80", "compute_80"), "ptx"),
        ("sm_120", ("sm_90a", "compute_90a"), None),
        ("sm_90", ("sm_90a",), "native"),
        ("sm_103", ("sm_100f",), "native"),
        ("sm_103", ("compute_100f",), "ptx"),
        ("sm_121", ("sm_100f",), None),
        ("sm_75", ("compute_90",), None),
        ("not known", ("sm_90",), None),
    ],
)
def test_runs_cuda(gpu: str, archs: tuple[str, ...], way: str | None) -> None:
    assert gpu_code.runs_cuda(gpu, archs) == way


@pytest.mark.parametrize(
    ("gpu", "archs", "runs"),
    [
        ("gfx90a", ("gfx90a",), True),
        ("gfx90a", ("gfx90a:xnack+",), True),
        ("gfx1030", ("gfx1100",), False),
        ("gfx1101", ("gfx1030", "gfx11-generic"), True),
        ("gfx1201", ("gfx1030", "gfx11-generic"), False),
        ("gfx1199", ("gfx1030", "gfx11-generic"), None),
        ("gfx1101", ("gfx11xx",), None),
        ("gfx1101", ("gfx11xx", "gfx1101"), True),
    ],
)
def test_runs_rocm(gpu: str, archs: tuple[str, ...], runs: bool | None) -> None:
    assert gpu_code.runs_rocm(gpu, archs) is runs


@pytest.mark.parametrize(
    ("text", "floor", "older"),
    [
        ("2.9", "2.10", True),
        ("2.10.0a0+git", "2.10", False),
        ("525.60.13", "525.60.13", False),
        ("525.60", "525.60.13", True),
        ("3.4.30", "3.4.9", False),
        ("6.1.0-28-amd64", "6.1", False),
    ],
)
def test_versions(text: str, floor: str, older: bool) -> None:
    assert versions.older(text, floor) is older


def test_features_are_spelt_in_many_ways() -> None:
    assert {host.plain_feature(name) for name in ("avx512_vnni", "AVX512VNNI", "avx512-vnni")} == {"avx512vnni"}


def test_elf_reader_refuses_what_is_cut_off(tmp_path: Path) -> None:
    for content in (b"", b"text", b"#!/bin/sh\n"):
        (tmp_path / "file").write_bytes(content)
        assert elf.read_elf(str(tmp_path / "file")) is None
    for content in (b"\x7fELF", b"\x7fELF\x02\x01\x01" + bytes(20), b"\x7fELF\x01\x01\x01" + bytes(100)):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(ValueError, match="ELF"):
            elf.read_elf(str(tmp_path / "file"))


def test_it_speaks_python_3_8_and_imports_nothing_of_aotpack() -> None:
    for path in sorted(resources.DOCTOR.rglob("*.py")):
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in STANDARD | {"aotpack_doctor"}, f"{path.name} imports {name}"


#: Modules of the standard library that bundles carry; hashlib where it is there.
STANDARD = {
    "__future__",
    "binascii",
    "contextlib",
    "ctypes",
    "enum",
    "errno",
    "hashlib",
    "io",
    "itertools",
    "json",
    "mmap",
    "os",
    "re",
    "stat",
}
#: Of the interpreter itself, in every one.
STANDARD |= {"_frozen_importlib", "_frozen_importlib_external", "_imp", "marshal", "posixpath", "types"}
STANDARD |= {"_sha2", "_sha256", "struct", "sys", "textwrap", "threading", "typing"}


def test_the_symptoms_name_findings_that_exist_by_messages_that_are_explained() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text()
    table = page[page.index("## Symptoms") : page.index("## Host and tools")]
    named = set(re.findall(r"\[(AP\d+)\]", table))
    assert explainable() <= named <= set(catalog.kinds())
    readme = (ROOT / "README.md").read_text()
    usual = readme[readme.index("## Troubleshooting") : readme.index("## Read on")].replace("docs/doctor.md#", "#")
    assert {row for row in usual.splitlines() if "[AP" in row} <= set(table.splitlines())
    symptoms = [row.split(" | ") for row in table.splitlines() if "[AP" in row]
    assert {len(cells) for cells in symptoms} == {2}
    for cells in symptoms:
        codes = set(re.findall(r"\[(AP\d+)\]", cells[1]))
        for message in re.findall(r"``?(.+?)``?(?=[,\s|]|$)", cells[0]):
            assert {found.kind.code for found in explain(message)} & codes, message
