"""The command line `aotrun`: pick the command, run it, turn errors into three lines and an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys

from aotrun.errors import AotError, UsageError, out_of, refused, report
from aotrun.options import Command, Option, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

_MODEL = Option("--model", metavar="NAME|M.pt2", help="which model; not needed when the bundle has one")
_DEVICE = Option("--device", metavar="cpu|cuda[:N]|rocm[:N]", help="where to run; the model's own device by default")
_INPUT = Option(
    "-i",
    "--input",
    metavar="[NAME=]FILE",
    many=True,
    help=".npy, .npz, JSON, .wav; - is standard input; one alone needs no name",
)
_CAST = Option("--cast", help="convert inputs to the types that the model takes, such as float64 to float32")
_THREADS = Option("--threads", metavar="N", number=1, help="size of the CPU thread pool")
_JSON = Option("--json", help="one JSON document on standard output, all else on standard error")
_COMMON = (
    Option("-v", "--verbose", help="say more; tracebacks"),
    Option("-q", "--quiet", help="errors only"),
    Option("-h", "--help", help="this text"),
)

COMMANDS = (
    Command(
        "infer",
        "infer",
        "Run a model on inputs.",
        (
            _MODEL,
            _DEVICE,
            _INPUT,
            _CAST,
            Option(
                "-o",
                "--output",
                metavar="FILE",
                help="where outputs go: .npz, .npy or .json; - or none is standard output",
            ),
            Option("--format", choices=("json", "pretty", "npy", "npz"), default="json", help="of standard output"),
            Option("--stream", help="a line of JSON in, a line of JSON out, until standard input ends"),
            _THREADS,
            *_COMMON,
        ),
        (
            "aotrun infer --input x.npy",
            "aotrun infer --input ids=ids.npy --input mask=mask.npy --output y.npz",
            "aotrun infer --model classifier --input batch.npz --format pretty",
            "aotrun infer --input x.npy --format npy > y.npy",
            "aotrun infer --stream < inputs.jsonl > outputs.jsonl",
            """echo '{"data": [1, 2], "shape": [1, 2], "dtype": "float32"}' | aotrun infer --input -""",
        ),
    ),
    Command(
        "serve",
        "serve",
        "Serve models over HTTP: Open Inference Protocol (version 2), health, Prometheus metrics.",
        (
            Option(
                "--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen; 0.0.0.0 is every interface"
            ),
            Option("--port", metavar="N", number=0, default=8000, help="0 is any that is free"),
            Option("--model", metavar="NAME", many=True, help="which models; all of the bundle by default"),
            _DEVICE,
            Option("--workers", metavar="N", number=1, default=1, help="processes, which share the weights"),
            Option("--threads", metavar="N", number=1, help="size of a worker's CPU pool; the cores are shared evenly"),
            Option("--max-batch", metavar="N", number=1, default=1, help="rows of requests that may run as one"),
            Option("--max-delay-ms", metavar="N", number=0, default=0, help="how long a batch waits to be filled"),
            Option("--busy-poll-us", metavar="N", number=0, default=0, help="stay awake so long for the next request"),
            Option("--max-queue", metavar="N", number=1, default=256, help="waiting requests of a worker, then 429"),
            Option("--deadline-ms", metavar="N", number=1, default=30000, help="how long a request may wait, then 504"),
            Option("--max-body-mb", metavar="N", number=1, default=64, help="size of a request, then 413"),
            Option("--body-timeout-s", metavar="N", number=1, default=60, help="for a request's body to arrive"),
            Option("--max-connections", metavar="N", number=1, default=1024, help="open ones of a worker"),
            Option("--max-sequences", metavar="N", number=1, default=128, help="sequences under way, then 429"),
            Option("--sequence-idle-s", metavar="N", number=1, default=60, help="a sequence without requests ends"),
            Option("--drain-s", metavar="N", number=0, default=2, help="after SIGTERM: not ready, but serving"),
            Option("--grace-s", metavar="N", number=0, default=30, help="after that: for what was taken to end"),
            Option("--log-requests", help="a line for each request, not for failures alone"),
            *_COMMON,
        ),
        (
            "aotrun serve",
            "aotrun serve --host 0.0.0.0 --port 8080 --workers 4",
            "aotrun serve --max-batch 32 --max-delay-ms 2",
            "curl http://127.0.0.1:8000/v2/models/mlp",
        ),
    ),
    Command(
        "check",
        "check",
        "Check the bundle's files, this machine and, with --model, a run on the recorded sample.",
        (_MODEL, _DEVICE, _THREADS, _JSON, *_COMMON),
        ("aotrun check", "aotrun check --model mlp", "aotrun check --device cuda:1 --json"),
    ),
    Command(
        "info",
        "info",
        "Tell what the bundle is: backend, runtime, models and their signatures.",
        (_MODEL, _JSON, *_COMMON),
        ("aotrun info", "aotrun info --model mlp.pt2", "aotrun info --json"),
    ),
    Command(
        "bench",
        "bench",
        "Time a model on inputs, or on its recorded sample.",
        (
            _MODEL,
            _DEVICE,
            _INPUT,
            _CAST,
            Option("--warmup", metavar="N", number=0, default=20, help="runs before the clock starts"),
            Option("--iterations", metavar="N", number=1, default=200, help="runs that are timed"),
            _THREADS,
            _JSON,
            *_COMMON,
        ),
        ("aotrun bench", "aotrun bench --input x.npy --threads 1 --iterations 1000 --json"),
    ),
    Command(
        "prepare",
        "prepare",
        "Write weights as this kind of CPU reads them into a folder, once, for all processes to map.",
        (
            Option("-o", "--output", metavar="FOLDER", help="where; processes find it by AOT_PREPARED=FOLDER"),
            Option("--model", metavar="NAME|M.pt2", help="which model; all of the bundle by default"),
            _DEVICE,
            Option(
                "--threads", metavar="N", number=1, help="of the processes that will map it; as for these by default"
            ),
            _JSON,
            *_COMMON,
        ),
        (
            "aotrun prepare --output /var/cache/weights",
            "aotrun prepare --threads 2 --output /var/cache/weights",
            "AOT_PREPARED=/var/cache/weights aotrun serve --workers 4 --threads 2",
        ),
    ),
    Command(
        "doctor",
        "doctor",
        "Diagnose this machine and this bundle: findings with stable codes, and what to do about each.",
        _COMMON,
        ("aotrun doctor", "aotrun doctor --json"),
    ),
)
_BY_NAME = {command.name: command for command in COMMANDS}


def _help() -> str:
    rows = [(command.name, command.summary) for command in COMMANDS]
    options = [("-h, --help", "this text; after a command, its options"), ("--version", "the version")]
    if not os.path.isdir(os.path.dirname(__file__)):  # the bundle is one file, whose launcher serves this one
        options.append(("--unpack DIR", "make a folder of the bundle"))
    examples = "  aotrun infer --input x.npy\n  aotrun check\n  aotrun infer --help"
    return (
        "Usage: aotrun COMMAND [options]\n\nRuns the models of the bundle that it lies in.\n\n"
        f"Commands:\n{table(rows)}\n\nOptions:\n{table(options)}\n\nExamples:\n{examples}\n\n"
        "Exit codes: 0 done, 1 failed, 2 usage, 5 the model does not fit, 6 the bundle is damaged,\n"
        "            7 this machine cannot run it\n"
    )


def main(words: Sequence[str]) -> int:
    """Run a command line; returns the exit code."""
    open_streams()
    try:
        code = _dispatch(list(words))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read standard output has left. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except AotError as error:
        failure = error
    except MemoryError:
        failure = out_of("memory", "out of memory")
    except OSError as error:
        failure = _of_the_system(error)
    except Exception as error:  # noqa: BLE001  whatever it is, a user sees three lines
        failure = AotError(
            f"{type(error).__name__}: {error}".replace("\n", " "),
            "This is a defect of aotrun or of the machine.",
            "Run again with -v for the traceback, and report it.",
        )
        failure.__cause__ = error
    report(failure)
    if "-v" in words or "--verbose" in words:
        cause = failure.__cause__ or failure
        sys.__excepthook__(type(cause), cause, cause.__traceback__)
    return failure.exit_code


def open_streams() -> None:
    """Give a process that was started with closed standard streams some that lead nowhere: what else is opened would
    get their numbers, and be written into by whoever prints."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            try:
                stream = open(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8")  # noqa: SIM115
            except OSError:  # a root without /dev
                stream = io.TextIOWrapper(io.BytesIO())
            setattr(sys, name, stream)


def _of_the_system(error: OSError) -> AotError:
    path = os.fsdecode(error.filename) if error.filename else "standard output"
    if error.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return refused(path, error)
    return AotError(
        f"{path}: {error.strerror or error}",
        "The system refused to read or write it.",
        "Check the path, its permissions and the free space.",
    )


def _dispatch(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_help(), end="", file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] in ("--version", "-V"):
        from aotrun import __version__

        print(f"aotrun {__version__}")
        return 0
    command = _BY_NAME.get(words[0])
    if command is None:
        known = ", ".join(_BY_NAME)
        raise UsageError(f"unknown command {words[0]}", f"Known: {known}.", "See: aotrun --help")
    if command.name == "doctor":
        return _doctor(words[1:])
    if "-h" in words or "--help" in words:
        print(command.help(), end="")
        return 0
    values = command.parse(words[1:])
    module = __import__(f"aotrun.commands.{command.module}", fromlist=["main"])
    code: int = module.main(values)
    return code


def _doctor(words: Sequence[str]) -> int:
    try:
        import aotpack_doctor
    except ImportError:
        raise UsageError(
            "this bundle has no doctor", "Its runner was copied without it.", "Copy the whole bundle again."
        ) from None
    code: int = aotpack_doctor.main(words)
    return code
