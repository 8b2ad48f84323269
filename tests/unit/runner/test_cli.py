"""The runner's command line as far as it needs no model: options, help, inputs from files, output files, printing."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aotrun import cli
from aotrun.arrays.array import Array
from aotrun.arrays.dtypes import BY_NAME, BY_TYPESTR
from aotrun.arrays.signature import Dim, Spec
from aotrun.commands.bench import summary
from aotrun.commands.session import read_inputs
from aotrun.errors import AotError, UsageError, from_status
from aotrun.formats import files, npy
from aotrun.formats.pretty import show
from aotrun.library.tensor import Tensor
from aotrun.options import Command, Option

AB = [Spec(name, None, None, None) for name in "ab"]
X = [Spec("x", None, None, None)]

COMMAND = Command(
    "do",
    "none",
    "Does.",
    (
        Option("-n", "--number", metavar="N", number=1, default=5, help="a number"),
        Option("--pick", choices=("a", "b"), default="a", help="one of two"),
        Option("-w", "--word", metavar="W", many=True, help="words"),
        Option("--flag", help="a switch"),
    ),
    ("aotrun do --flag",),
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"number": 5, "pick": "a", "word": [], "flag": False}),
        (["-n", "7", "--flag"], {"number": 7, "pick": "a", "word": [], "flag": True}),
        (["--number=7", "--pick=b"], {"number": 7, "pick": "b", "word": [], "flag": False}),
        (
            ["-w", "x=1", "--word=y=2", "-w", "--flag"],
            {"number": 5, "pick": "a", "word": ["x=1", "y=2", "--flag"], "flag": False},
        ),
    ],
)
def test_options(words: list[str], expected: dict[str, Any]) -> None:
    assert COMMAND.parse(words) == expected


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--nope"], "unknown option --nope"),
        (["nope"], "unknown argument nope"),
        (["--number"], "--number needs a value"),
        (["--number", "0"], "--number 0"),
        (["--number", "x"], "--number x"),
        (["--number", "1_0"], "--number 1_0"),
        (["--number", "9" * 5000], "--number 999"),
        (["--pick", "c"], "--pick c"),
        (["--flag=1"], "--flag takes no value"),
    ],
)
def test_wrong_options(words: list[str], what: str) -> None:
    with pytest.raises(UsageError) as caught:
        COMMAND.parse(words)
    assert caught.value.what.startswith(what)
    assert caught.value.fix == "See: aotrun do --help"


def test_help_names_every_option_and_fits_a_terminal() -> None:
    for command in cli.COMMANDS:
        text = command.help()
        assert all(flag in text for option in command.options for flag in option.flags)
        assert all(len(line) <= 120 for line in text.splitlines())
        assert command.examples


def test_main_prints_three_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nope"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert cli.main([]) == 2
    assert "Usage" in capsys.readouterr().err
    assert cli.main(["--help"]) == 0
    assert "Usage" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("aotrun ")


def test_a_defect_is_three_lines_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_words: object) -> int:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(cli, "_dispatch", fail)
    assert cli.main(["infer"]) == 1
    assert capsys.readouterr().err.splitlines()[0] == "error: ZeroDivisionError: by zero"
    assert cli.main(["infer", "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [(1, 1), (2, 2), (5, 5), (6, 6), (7, 7), (99, 1)])
def test_statuses_become_errors(status: int, code: int) -> None:
    error = from_status(status, "what\nmeaning\nfix")
    assert (error.exit_code, error.what, error.meaning, error.fix) == (code, "what", "meaning", "fix")
    assert str(from_status(status, "only one line")) == "only one line"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with some inputs in it."""
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.array([1.0], "f4"))
    np.save("b.npy", np.array([2.0], "f4"))
    np.save("odd=name.npy", np.array([3.0], "f4"))
    np.savez("named.npz", b=np.array([2.0], "f4"), a=np.array([1.0], "f4"))
    np.savez("nameless.npz", np.array([1.0], "f4"), np.array([2.0], "f4"))
    np.savez("mixed.npz", a=np.array([1.0], "f4"), c=np.array([2.0], "f4"))
    np.savez("one.npz", z=np.array([1.0], "f4"))
    Path("both.json").write_text(
        '{"a": {"data": [1], "dtype": "float32"}, "b": {"data": [2], "shape": [1], "dtype": "float32"}}'
    )
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["a.npy", "b.npy"],
        ["a=a.npy", "b=b.npy"],
        ["b=b.npy", "a=a.npy"],
        ["named.npz"],
        ["nameless.npz"],
        ["both.json"],
        ["a=one.npz", "b=b.npy"],
    ],
)
def test_inputs_from_files(folder: Path, words: list[str]) -> None:
    assert [array.tolist() for array in read_inputs(words, AB)] == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["missing a, b", "--input a=FILE"]),
        (["a.npy"], ["1 inputs", "a, b"]),
        (["a=a.npy"], ["missing b"]),
        (["a=a.npy", "b=b.npy", "c=a.npy"], ["no input c"]),
        (["a=a.npy", "x=b.npy"], ["no input x", "missing b"]),
        (["a=a.npy", "b.npy"], ["without a name beside a"]),
        (["a=a.npy", "a=b.npy"], ["a given twice"]),
        (["named.npz", "a=a.npy"], ["a given twice"]),
        (["mixed.npz"], ["a are inputs, c are not"]),
        (["one.npz"], ["1 arrays (z)"]),
        (["a=named.npz"], ["2 arrays for one input"]),
        (["a=missing.npy"], ["missing.npy: No such file"]),
        (["."], [".: is a folder"]),
        (["a=both.json", "b=b.npy"], ["2 arrays for one input"]),
    ],
)
def test_wrong_inputs(folder: Path, words: list[str], expected: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read_inputs(words, AB)
    assert len(str(caught.value).splitlines()) == 3
    for word in expected:
        assert word in str(caught.value)


def test_an_input_larger_than_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy, "_physical_memory", lambda: 3)
    with pytest.raises(UsageError, match="does not fit into memory"):
        read_inputs(["a.npy"], AB[:1])


def test_a_lone_input_needs_no_name(folder: Path) -> None:
    for word in ("a.npy", "x=a.npy", "one.npz"):
        assert read_inputs([word], X)[0].tolist() == [1.0]
    assert read_inputs(["odd=name.npy"], X)[0].tolist() == [3.0]


def typed(dtype: str) -> list[Spec]:
    return [Spec("x", BY_NAME[dtype], None, None)]


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [
        (np.array([0.1, 2.0], "f8"), "float32", [float(np.float32(0.1)), 2.0]),
        (np.array([1, -2], "i4"), "int64", [1, -2]),
        (np.array([1, 2], "i8"), "float32", [1.0, 2.0]),
        (np.array([1, 0], "i4"), "bool", [True, False]),
        (np.array([True, False]), "float16", [1.0, 0.0]),
        (np.array([1.0, np.inf], "f4"), "bfloat16", [1.0, float("inf")]),
        (np.array([1.5], "f8"), "complex64", [1.5 + 0j]),
        (np.array([300], "i8"), "uint8", "not all of its int64 numbers fit uint8"),
        (np.array([-1], "i4"), "uint64", "not all of its int32 numbers fit uint64"),
        (np.array([2], "i4"), "bool", "is int32 and holds 2, the model takes bool"),
        (np.array([1e300], "f8"), "float32", "not all of its float64 numbers fit float32"),
        (np.array([1.0], "f4"), "int64", "what is behind the point would be lost"),
        (np.array([1j], "c8"), "float32", "an imaginary part would be lost"),
    ],
)
def test_cast_converts_where_it_is_asked_for(tmp_path: Path, given: Any, dtype: str, expected: Any) -> None:
    path = str(tmp_path / "x.npy")
    np.save(path, given)
    with pytest.raises(UsageError, match=rf"input x is {given.dtype}, the model takes {dtype}\n.*\n.*--cast"):
        read_inputs([path], typed(dtype))
    if isinstance(expected, str):
        with pytest.raises(UsageError) as caught:
            read_inputs([path], typed(dtype), cast=True)
        assert expected in str(caught.value)
        assert len(str(caught.value).splitlines()) == 3
    else:
        (array,) = read_inputs([path], typed(dtype), cast=True)
        assert (array.dtype.name, array.tolist()) == (dtype, expected)


def test_cast_keeps_the_order_of_the_elements(tmp_path: Path) -> None:
    path = str(tmp_path / "x.npy")
    np.save(path, np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    (array,) = read_inputs([path], typed("float32"), cast=True)
    assert (array.shape, array.strides, array.tolist()) == ((2, 3), (1, 2), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0])


def test_json_without_a_dtype_is_of_the_models(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    Path(path).write_text('{"data": [[1, 2]]}')
    for dtype in ("float32", "int64", "bfloat16", "complex64"):
        (array,) = read_inputs([path], typed(dtype))
        assert (array.dtype.name, array.shape) == (dtype, (1,) if dtype == "complex64" else (1, 2))
    Path(path).write_text('{"a": {"data": [1]}, "b": {"data": [2], "dtype": "int64"}}')
    specs = [Spec("a", BY_NAME["float32"], None, None), Spec("b", BY_NAME["int64"], None, None)]
    assert [array.dtype.name for array in read_inputs([path], specs)] == ["float32", "int64"]
    with pytest.raises(UsageError, match=r"x\.json\[a\]: no dtype, and the model does not say"):
        read_inputs([path], AB)


@pytest.mark.parametrize(
    ("content", "what", "advice"),
    [
        (b"fLaC\x00\x00", "sound (FLAC)", "soundfile.read('{path}'"),
        (b"\x89PNG\r\n\x1a\n\x00", "a picture (PNG)", "PIL.Image.open('{path}')"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a picture (JPEG)", "PIL.Image.open('{path}')"),
        (b"\x00\x00\x00\x18ftypmp42", "a video (MP4)", "imageio.v3.imread('{path}')"),
        (b"\x80\x04\x95\x00", "pickled Python objects", "pickle.load"),
        (b"1.5, 2, -3e4\n4, 5, 6\n", "a table of numbers as text", "delimiter=','"),
        (b"\x7fELF\x02\x01", "a program or a library", "numpy.save"),
        (b"%PDF-1.7", "a PDF document", "numpy.save"),
    ],
)
def test_other_files_are_named_with_what_makes_an_array_of_them(
    tmp_path: Path, content: bytes, what: str, advice: str
) -> None:
    path = str(tmp_path / "x")
    Path(path).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_inputs([path], X)
    assert caught.value.what == f"{path}: {what}"
    assert advice.format(path=path) in caught.value.fix
    assert len(str(caught.value).splitlines()) == 3


@pytest.fixture
def standard_input(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """`standard_input(descriptor)` puts something else there for a while."""
    before = os.dup(0)
    yield lambda descriptor: (os.dup2(descriptor, 0), os.close(descriptor))[1]
    os.dup2(before, 0)
    os.close(before)


def saved(path: str, *values: float) -> Path:
    np.save(path, np.array(values, "f4"))
    return Path(path)


def test_standard_input(folder: Path, standard_input: Callable[[int], None]) -> None:
    content = saved("x.npy", 1.0).read_bytes()
    standard_input(os.open("x.npy", os.O_RDONLY))
    assert read_inputs(["-"], X)[0].tolist() == [1.0]
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    standard_input(reader)
    assert read_inputs(["-"], X)[0].tolist() == [1.0]


@pytest.mark.timeout(10)
def test_standard_input_that_never_ends(folder: Path, standard_input: Callable[[int], None]) -> None:
    standard_input(os.open("/dev/zero", os.O_RDONLY))
    with pytest.raises(UsageError, match="is a device"):
        read_inputs(["-"], X)


@pytest.mark.timeout(10)
def test_special_files_are_no_inputs(folder: Path) -> None:
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    Path("device").symlink_to("/dev/zero")
    Path("loop").symlink_to("loop")
    Path("to_fifo").symlink_to("fifo")
    for path, word in (
        ("fifo", "a pipe that nobody writes to"),
        ("to_fifo", "a pipe that nobody writes to"),
        ("socket", "is a socket"),
        ("device", "is a device"),
        ("/dev/random", "is a device"),
        ("loop", "symbolic links"),
    ):
        with pytest.raises(UsageError, match=word):
            read_inputs([path], X)


@pytest.mark.timeout(20)
def test_pipes_with_a_writer_are_inputs(folder: Path) -> None:
    content = saved("x.npy", *range(100_000)).read_bytes()
    reader, writer = os.pipe()

    def fill() -> None:
        with os.fdopen(writer, "wb") as stream:
            stream.write(content)

    thread = threading.Thread(target=fill)
    thread.start()
    assert read_inputs([f"/dev/fd/{reader}"], X)[0].shape == (100_000,)
    thread.join()
    os.close(reader)


# ---- archives larger than what is asked of them ------------------------------------------------------------------


def bomb(path: str, **sizes: int) -> None:
    """An .npz of some kilobytes whose arrays of zeros have so many bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, size in sizes.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(npy.npy_header(BY_TYPESTR["|u1"], (size,)))
                for _ in range(size >> 20):
                    member.write(bytes(1 << 20))


def peak_of(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(UsageError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_arrays_that_nobody_asked_for_are_not_unpacked(folder: Path) -> None:
    bomb("stranger.npz", x=0, stranger=64 << 20)
    bomb("strangers.npz", a=64 << 20, b=64 << 20)
    for words in (["stranger.npz"], ["strangers.npz"], ["x=strangers.npz"]):
        assert peak_of(lambda words=words: read_inputs(words, X)) < 4 << 20  # type: ignore[misc]


def test_an_array_larger_than_the_model_takes_is_not_unpacked(folder: Path) -> None:
    bomb("x.npz", x=64 << 20)
    dims = (Dim(1, 8, b"batch"), Dim(4, 4, None))
    specs = [Spec("x", BY_NAME["uint8"], dims, None)]
    assert peak_of(lambda: read_inputs(["x.npz"], specs)) < 4 << 20
    with pytest.raises(UsageError, match="at most 32"):
        read_inputs(["x.npz"], specs)


def test_a_claim_that_no_deflate_can_keep(folder: Path) -> None:
    np.savez_compressed("x.npz", x=np.zeros(100, "u1"))
    content = bytearray(Path("x.npz").read_bytes())
    struct.pack_into("<L", content, content.index(b"PK\1\2") + 24, 1 << 30)
    Path("x.npz").write_bytes(content)
    assert peak_of(lambda: read_inputs(["x.npz"], X)) < 4 << 20
    with pytest.raises(UsageError, match="claims 1073741824 bytes out of"):
        read_inputs(["x.npz"], X)


class Fake(Tensor):
    """An output without a library behind it."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self._facts = None

    def __del__(self) -> None:
        pass

    dtype = property(lambda self: BY_TYPESTR[self.array.dtype.str])  # type: ignore[assignment]
    shape = property(lambda self: self.array.shape)  # type: ignore[assignment]

    def contiguous(self) -> memoryview:
        return memoryview(self.array.tobytes())


def test_outputs_to_files(folder: Path) -> None:
    y, z = np.arange(6, dtype="f4").reshape(2, 3), np.array(7, "i8")
    files.write("y.npy", [("y", Fake(y))])
    files.write("y.npz", [("y", Fake(y)), ("z", Fake(z))])
    files.write("y.json", [("y", Fake(y))])
    files.write("yz.json", [("y", Fake(y)), ("z", Fake(z))])
    assert np.array_equal(np.load("y.npy"), y)
    assert {name: array.tolist() for name, array in np.load("y.npz").items()} == {"y": y.tolist(), "z": 7}
    single, several = files.read("y.json"), files.read("yz.json")
    assert isinstance(single, Array)
    assert isinstance(several, dict)
    assert (single.shape, single.tolist()) == ((2, 3), [0, 1, 2, 3, 4, 5])
    assert (several["z"].shape, several["z"].tolist()) == ((), [7])
    assert not list(folder.glob("*.part"))


def test_output_is_checked_before_the_run(folder: Path) -> None:
    for path, outputs, word in (
        ("y.txt", 1, "y.txt"),
        ("y.npy", 2, "2 outputs"),
        ("no/y.npz", 1, "no folder no"),
    ):
        with pytest.raises(UsageError, match=word):
            files.check_output(path, outputs)


def test_a_full_disk_leaves_the_older_output(folder: Path) -> None:
    class Full(Fake):
        def contiguous(self) -> memoryview:
            raise OSError(28, "No space left on device")

    Path("y.npy").write_text("older")
    with pytest.raises(AotError, match="No space left"):
        files.write("y.npy", [("y", Full(np.zeros(1, "f4")))])
    assert Path("y.npy").read_text() == "older"
    assert not list(folder.glob("*.part"))


def test_output_to_a_pipe(folder: Path) -> None:
    os.mkfifo("y.npy")
    reader = os.open("y.npy", os.O_RDONLY | os.O_NONBLOCK)
    files.write("y.npy", [("y", Fake(np.array([1.0], "f4")))])
    assert np.load(io.BytesIO(os.read(reader, 4096))).tolist() == [1.0]
    os.close(reader)


@pytest.mark.timeout(10)
def test_output_to_a_pipe_that_nobody_reads(folder: Path) -> None:
    os.mkfifo("y.npy")
    with pytest.raises(AotError, match="nobody reads from"):
        files.write("y.npy", [("y", Fake(np.array([1.0], "f4")))])


def test_a_planted_link_is_not_followed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("precious.npy").write_text("precious")
    Path("y.npy").symlink_to("precious.npy")
    names = iter([b"aaaa", b"aaaa", b"bbbb", b"cccc"])
    monkeypatch.setattr(os, "urandom", lambda _size: next(names))
    Path(f"y.npy.{b'aaaa'.hex()}.part").symlink_to("precious.npy")
    Path(f"y.npy.{b'bbbb'.hex()}.part").symlink_to("nothing.npy")
    files.write("y.npy", [("y", Fake(np.array([1.0], "f4")))])
    assert Path("precious.npy").read_text() == "precious"
    assert not Path("nothing.npy").exists()
    assert np.load("y.npy").tolist() == [1.0]
    assert not Path("y.npy").is_symlink()


@pytest.fixture
def ordinary_signals() -> Iterator[None]:
    """As in a terminal: a shell has some ignored by what it starts in the background, and that is inherited."""
    ordinary = dict.fromkeys((signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM), signal.SIG_DFL)
    before = {number: signal.signal(number, handler) for number, handler in ordinary.items()}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("ending", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_a_signal_while_writing_leaves_the_older_output(
    folder: Path, ending: signal.Signals, ordinary_signals: None
) -> None:
    class Ended(Fake):
        def contiguous(self) -> memoryview:
            assert list(folder.glob("*.part"))
            os.kill(os.getpid(), ending)
            return super().contiguous()

    Path("y.npy").write_text("older")
    handlers = [signal.getsignal(number) for number in files._ENDINGS]
    with pytest.raises(KeyboardInterrupt if ending is signal.SIGINT else SystemExit) as caught:
        files.write("y.npy", [("y", Ended(np.zeros(1, "f4")))])
    assert ending is signal.SIGINT or caught.value.code == 128 + ending  # type: ignore[attr-defined]
    assert Path("y.npy").read_text() == "older"
    assert not list(folder.glob("*.part"))
    assert [signal.getsignal(number) for number in files._ENDINGS] == handlers


def test_a_folder_or_a_socket_is_no_output(folder: Path) -> None:
    Path("y.npz").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("z.npz")
    for path, word in (("y.npz", "is a folder"), ("z.npz", "is a socket")):
        with pytest.raises(UsageError, match=word):
            files.check_output(path, 1)


def test_pretty() -> None:
    text = show("y", Fake(np.arange(80, dtype="f4").reshape(8, 10)))
    lines = text.splitlines()
    assert lines[0] == "y: float32[8, 10]  min 0  max 79  mean 39.5"
    assert lines[1] == "[[0, 1, 2, ..., 7, 8, 9],"
    assert lines[4] == " ...,"
    assert len(lines) == 8
    assert show("s", Fake(np.array(2.5, "f8"))) == "s: float64[]  min 2.5  max 2.5  mean 2.5\n2.5"
    assert show("e", Fake(np.zeros((0, 3), "f4"))) == "e: float32[0, 3]"
    assert "not finite 2" in show("n", Fake(np.array([np.nan, np.inf, 1], "f4")))
    assert show("b", Fake(np.array([True]))) == "b: bool[1]\n[True]"


def test_order_statistics() -> None:
    assert summary([3.0]) == {"median_ms": 3.0, "p90_ms": 3.0, "min_ms": 3.0, "mean_ms": 3.0}
    times = [float(value) for value in range(100, 0, -1)]
    assert summary(times) == {"median_ms": 51.0, "p90_ms": 90.0, "min_ms": 1.0, "mean_ms": 50.5}


OLD_PYTHON = """
import runpy, sys
if sys.argv[1] == "version":
    sys.version_info = (3, 7, 9)
else:
    sys.modules["ctypes"] = None
runpy.run_path(sys.argv[2], run_name="__main__")
"""


@pytest.mark.parametrize(("lacks", "word"), [("version", "Python 3.7 at"), ("ctypes", "has no ctypes")])
def test_a_python_that_cannot_run_it(lacks: str, word: str) -> None:
    main = Path(cli.__file__).with_name("__main__.py")
    done = subprocess.run(
        [sys.executable, "-c", OLD_PYTHON, lacks, main], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 7
    assert word in done.stderr
    assert len(done.stderr.splitlines()) == 3
