"""The toolchain's half of the exporter, against a worker that is played by a script."""

from __future__ import annotations

import contextlib
import errno
import inspect
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aotpack.backend import Backend
from aotpack.errors import AotpackError, BuildToolError, TorchMismatchError, UsageError
from aotpack.exporting.driving import ExportRequest, check_output, export, parse_device, parse_isas
from aotpack.exporting.worker import naming
from aotpack.gpu.fatbin import Kind
from tests.support import faults
from tests.support.doubles.fatbins import Piece, region

LIBRARY = msgspec._core.__file__


class Listener:
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.warnings: list[str] = []

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        self.steps.append(text)
        yield

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Any]:
    """`play(body)`: export with a worker that runs `body`, with `read()` and `send(event, **fields)` at hand."""

    def run(body: str, listener: Listener | None = None, **options: Any) -> Any:
        script = tmp_path / "worker"
        script.write_text(
            f"#!{sys.executable} -S\n"
            "import json, os, sys\n"
            "def read(): return json.loads(sys.stdin.readline())\n"
            "def send(event, **fields): print(json.dumps(dict(event=event, **fields)), flush=True)\n"
            "request = read()\n" + inspect.cleandoc(body) + "\n"
        )
        script.chmod(0o755)
        request = ExportRequest(Path("f.py"), "model", tmp_path / "out" / "m.pt2", **options)
        request.output.parent.mkdir(exist_ok=True)
        return export(request, script, listener or Listener())

    return run


GOOD = f"""
    send("phase", text="first")
    send("note", text="careful")
    send("phase", text="second")
    metadata = dict(inputs=[dict(name="x", dtype="int64", dims=[dict(symbol="n", min=1, max=None), 3])], outputs=[],
                    device="cpu", torch_version="2.13.0", compiler="g++ 12", gpu_archs=[], frozen=True)
    variant = dict(name="native", model_so={LIBRARY!r}, cpu_features=["avx2"], constants=None)
    send("compiled", variants=[variant], kernels=[], metadata=metadata)
    document = read()
    open(request["output"], "w").write(json.dumps(document))
    send("done", comparisons=[dict(sizes="x [2]", name="y", absolute=0.5, relative=0.25)])
"""


def test_a_whole_conversation(play: Callable[..., Any], tmp_path: Path) -> None:
    listener = Listener()
    report = play(GOOD, listener)
    assert listener.steps == ["first", "second"]
    assert listener.warnings == ["careful"]
    assert list((tmp_path / "out").iterdir()) == [report.output]
    document = json.loads(report.output.read_text())
    assert document["frozen"] is True
    assert document["notes"] == ["careful"]
    assert document["floors"]["glibc"]
    assert document["inputs"][0]["dims"] == [{"symbol": "n", "min": 1}, 3]
    assert report.metadata == msgspec.json.decode(report.output.read_text(), type=type(report.metadata))
    (comparison,) = report.comparisons
    assert (comparison.absolute, comparison.relative) == (0.5, 0.25)


def test_what_is_said_of_several_variants(play: Callable[..., Any]) -> None:
    """Of the model what is true of the least demanding one, and of each what its own file tells."""
    body = GOOD.replace("[variant]", "[variant, dict(variant, name='avx2', constants=[0])]")
    body = body.replace("frozen=True)", "frozen=True, constants=[dict(shape=[1], begin=0, size=64)])")
    metadata = play(body).metadata
    assert [(each.name, each.library, each.constants) for each in metadata.variants] == [
        ("native", "model.so", None),
        ("avx2", "model.avx2.so", (0,)),
    ]
    assert {each.floors for each in metadata.variants} == {metadata.floors}
    assert metadata.cpu_features == metadata.variants[0].cpu_features


def with_kernels(folder: Path, *pieces: Piece) -> str:
    (folder / "k.fatbin").write_bytes(region(*pieces))
    return GOOD.replace("kernels=[]", f"kernels=[{str(folder / 'k.fatbin')!r}]")


def test_what_kernels_have_code_for_is_read_from_them(play: Callable[..., Any], tmp_path: Path) -> None:
    body = with_kernels(tmp_path, Piece(80, kind=Kind.PTX), Piece(80), Piece(90))
    metadata = play(body, device="cuda", archs=("sm_80", "sm_90")).metadata
    assert metadata.gpu_archs == ("sm_80", "compute_80", "sm_90")


def test_gpus_that_were_left_out_without_a_word(play: Callable[..., Any], tmp_path: Path) -> None:
    body = with_kernels(tmp_path, Piece(80), Piece(86))
    with pytest.raises(BuildToolError, match="code for sm_80, sm_86, and none for sm_90"):
        play(body, device="cuda", archs=("sm_80", "sm_90"))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("text", ["portable", "native", "avx2", "baseline, avx512", "amx"])
def test_cpus_that_may_be_named(text: str) -> None:
    assert parse_isas(text) == text.replace(" ", "")


@pytest.mark.parametrize("text", ["", "avx3", "avx2,native", "avx2,avx2", "avx2,"])
def test_cpus_that_may_not(text: str) -> None:
    with pytest.raises(UsageError, match="--cpu-isa"):
        parse_isas(text)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("usage", UsageError), ("torch", TorchMismatchError), ("tool", BuildToolError), ("failed", AotpackError)],
)
def test_failures_keep_their_kind_and_leave_what_was_there(
    play: Callable[..., Any], tmp_path: Path, kind: str, error: type[AotpackError]
) -> None:
    older = tmp_path / "out" / "m.pt2"
    older.parent.mkdir()
    older.write_text("older")
    body = f"""
        open(request["output"], "w").write("half")
        send("error", kind={kind!r}, what="w", meaning="m", fix="f", detail="d")
    """
    with pytest.raises(AotpackError) as caught:
        play(body)
    assert type(caught.value) is error
    assert (str(caught.value), caught.value.detail) == ("w\nm\nf", "d")
    assert list(older.parent.iterdir()) == [older]
    assert older.read_text() == "older"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("print('reason', file=sys.stderr); sys.exit(70)", "status 70\ntorch, a library of it or the module crashed"),
        ("sys.exit(0)", "status 0\ntorch"),
    ],
)
def test_a_worker_that_breaks_down(play: Callable[..., Any], tmp_path: Path, body: str, expected: str) -> None:
    with pytest.raises(AotpackError, match=expected) as caught:
        play(body)
    assert caught.value.exit_code == 1
    assert not list((tmp_path / "out").iterdir())


STEPS = ("exporting", "compiled", "packaged", "replaced")


def test_a_kill_at_every_step(play: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this half; the worker's end is another test's."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    package = tmp_path / "out" / "m.pt2"
    clean = faults.run(lambda: play(GOOD))
    assert (clean.status, clean.reached) == (0, STEPS), clean.stderr
    for step in STEPS:
        package.write_text("older")
        ended = faults.run(lambda: play(GOOD), step, faults.kill())
        assert (ended.status, ended.reached[-1]) == (-signal.SIGKILL, step)
        whole = package.read_text()
        assert whole == "older" or json.loads(whole)["has_signature"]
        assert (whole == "older") == (step != "replaced")
        again = faults.run(lambda: play(GOOD))
        assert again.status == 0, again.stderr
        assert faults.names_in(package.parent) == ["m.pt2"]
        assert faults.names_in(tmp_path / "temporary") == []


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_leaves_what_was_there(play: Callable[..., Any], tmp_path: Path, code: int) -> None:
    package = tmp_path / "out" / "m.pt2"
    package.parent.mkdir()
    for step in STEPS[:-1]:
        package.write_text("older")
        ended = faults.run(lambda: play(GOOD), step, faults.fail(code))
        assert ended.reached[-1] == step
        assert os.strerror(code) in ended.stderr
        assert package.read_text() == "older"
        assert faults.names_in(package.parent) == ["m.pt2"]


def test_a_link_in_the_outputs_place_is_replaced(play: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "precious.pt2").write_text("precious")
    (tmp_path / "out/m.pt2").symlink_to("../precious.pt2")
    play(GOOD)
    assert (tmp_path / "precious.pt2").read_text() == "precious"
    assert not (tmp_path / "out/m.pt2").is_symlink()


def test_output_must_be_a_pt2_in_a_folder(tmp_path: Path) -> None:
    check_output(tmp_path / "m.pt2")
    (tmp_path / "d.pt2").mkdir()
    os.mkfifo(tmp_path / "f.pt2")
    (tmp_path / "l.pt2").symlink_to("d.pt2")
    for bad in (tmp_path / "m.zip", tmp_path / "none" / "m.pt2", *(tmp_path / f"{name}.pt2" for name in "dfl")):
        with pytest.raises(UsageError) as caught:
            check_output(bad)
        assert str(bad) in caught.value.what


def test_devices() -> None:
    assert parse_device("cpu") == (Backend.CPU, "cpu")
    assert parse_device("cuda:1") == (Backend.CUDA, "cuda:1")
    assert parse_device("rocm:1") == (Backend.ROCM, "cuda:1")
    for bad in ("gpu", "cpu:0", "cuda:", "cuda:x", ""):
        with pytest.raises(UsageError):
            parse_device(bad)


def test_names_of_inputs_follow_the_signature() -> None:
    def forward(x: object, batch: object, *rest: object, scale: object = None) -> None: ...

    paths = [(0, 0), (0, 1, "ids"), (0, 1, "parts", 2), (0, 2), (0, 3, "k"), (1, "scale"), (1, "other", 0)]
    names = ["x", "batch.ids", "batch.parts.2", "rest.0", "rest.1.k", "scale", "other.0"]
    assert naming.input_names(forward, paths) == names


def test_names_of_outputs_follow_the_structure() -> None:
    assert naming.output_names([()]) == ["output0"]
    assert naming.output_names([(0,), (1, "a"), (1, "b", 0)]) == ["output0", "output1.a", "output1.b.0"]
    assert naming.output_names([("scores",), ("hidden", 3)]) == ["scores", "hidden.3"]


def test_names_are_distinct() -> None:
    assert naming.output_names([("a.b",), ("a", "b"), ("a.b_2",)]) == ["a.b", "a.b_2", "a.b_2_2"]
