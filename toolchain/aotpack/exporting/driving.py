"""`aotpack export`: drive the worker that runs inside the backend's virtual environment.

aotpack never imports torch itself. The worker (`aotpack.exporting.worker`) runs under the environment's interpreter and
speaks JSON lines; this side completes the metadata with what only the finished ELF file tells, and puts the package
in its place once it is whole.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from aotpack import __version__, resources
from aotpack.backend import Backend
from aotpack.environment.torch import TorchInfo
from aotpack.errors import AotpackError, BuildToolError, ModelMismatchError, TorchMismatchError, UsageError
from aotpack.exporting.options import Value
from aotpack.gpu import archs as gpus
from aotpack.gpu import kernels
from aotpack.package.metadata import LIBRARY, Floors, ModelMetadata, Variant
from aotpack.tools import running, steps
from aotpack.tools.scratch import scratch_folder
from aotpack_doctor.base.regular import kind

#: `--constants`: whether weights are folded and packed into what is fastest, or stay as the module has them.
CONSTANTS = ("frozen", "updatable")
#: The instruction sets of `--cpu-isa`, the least demanding first: x86-64-v2, v3, v4, and AMX.
ISAS = ("baseline", "avx2", "avx512", "amx")
#: `--cpu-isa`: this machine's CPU; those ISAS that pay, for every CPU.
NATIVE, PORTABLE = "native", "portable"

_ERRORS: dict[str, type[AotpackError]] = {
    "usage": UsageError,
    "torch": TorchMismatchError,
    "tool": BuildToolError,
    "model": ModelMismatchError,
    "failed": AotpackError,
}

#: The worker is a package of its own name and never on sys.path: the user's file must not see aotpack's modules.
_WORKER = "aotpack_export_worker"
_BOOTSTRAP = (
    "import importlib.util, sys; spec = importlib.util.spec_from_file_location"
    f"('{_WORKER}', sys.argv[1] + '/__init__.py', submodule_search_locations=[sys.argv[1]]); "
    "sys.modules[spec.name] = importlib.util.module_from_spec(spec); spec.loader.exec_module(sys.modules[spec.name]); "
    f"from {_WORKER} import main; main.main()"
)

_LOG_TAIL = 30
#: How far outputs may be from eager's: one rule for the export and for `aotrun check`.
_CLOSENESS = resources.TEMPLATES / "runner" / "aotrun" / "arrays" / "closeness.py"


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and how."""

    #: The user's Python file, or a program that torch.export saved; None for a module that Python finds by its name.
    file: Path | None
    #: Returns the module and its inputs; empty for a saved program.
    function: str
    output: Path
    #: torch's name: `cpu`, `cuda` or `cuda:N`.
    device: str = "cpu"
    constants: str = "frozen"
    #: `portable`, `native`, or some of ISAS with commas between.
    cpu_isa: str = PORTABLE
    #: Compare with eager PyTorch, and fail when they differ.
    verify: bool = False
    #: Another module whose outputs the package's are compared with, such as the one before it was quantised: its file,
    #: its module's name where there is no file, and its function.
    against: tuple[str, str, str] | None = None
    #: Record the example inputs and eager outputs in the package (when they are under 1 MB).
    sample: bool = True
    #: Accept that sizes vary less than asked.
    allow_fixed: bool = False
    #: `package.module`, where there is no file.
    module: str = ""
    #: Where it is looked for beside the environment; the current folder by default.
    folder: Path | None = None
    #: GPUs that its code is compiled for, such as `sm_80`, those of older code first; by default the one of `device`.
    archs: tuple[str, ...] = ()
    #: Inductor's, of `aotpack.exporting.options`.
    options: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """One output of the package against eager PyTorch."""

    #: Sizes of all inputs, as text.
    sizes: str
    name: str
    #: Largest |got - expected|.
    absolute: float
    #: Largest |got - expected| / (|expected| + max |expected|).
    relative: float


@dataclass(frozen=True)
class ExportReport:
    """What was made."""

    output: Path
    metadata: ModelMetadata
    #: Sentences the user should know: fallbacks, fixed values.
    notes: tuple[str, ...]
    #: Empty unless `verify` was asked for.
    comparisons: tuple[Comparison, ...]
    #: What was read of the user's files, or looked for in vain; empty for a module of this process, as what follows.
    files: tuple[str, ...] = ()
    #: Folders that were listed -> a hash of the names in them.
    folders: Mapping[str, str] = field(default_factory=dict)
    #: Environment variables that were asked for, and what else `worker.reading.values` knows.
    settings: tuple[str, ...] = ()


class Listener(Protocol):
    """Who is told how an export goes; `aotpack.cli.console` is one."""

    def step(self, text: str) -> AbstractContextManager[None]:
        """A phase that lasts as long as the context."""

    def warn(self, text: str) -> None:
        """Something that is not as asked."""


def parse_device(text: str) -> tuple[Backend, str]:
    """The backend of `cpu`, `cuda[:N]` or `rocm[:N]`, and the device's name in torch. Raises UsageError."""
    kind, colon, index = text.partition(":")
    if kind not in [backend.value for backend in Backend] or (colon and (kind == "cpu" or not index.isdecimal())):
        raise UsageError(
            f"--device {text}: not a device",
            meaning="a package is compiled for the CPU or for a GPU: cpu, cuda, cuda:1, rocm, rocm:1",
            fix="--device cpu",
        )
    # torch for ROCm calls its devices cuda.
    return Backend(kind), text.replace("rocm", "cuda")


def parse_isas(text: str) -> str:
    """Check `--cpu-isa`. Raises UsageError."""
    words = [word.strip() for word in text.split(",")]
    if text not in (NATIVE, PORTABLE) and not (set(words) <= set(ISAS) and len(set(words)) == len(words)):
        raise UsageError(
            f"--cpu-isa {text}: not what a CPU can be",
            meaning=f"it is {PORTABLE}, {NATIVE}, or some of {', '.join(ISAS)} with commas between",
            fix=f"--cpu-isa {PORTABLE}",
        )
    return ",".join(words)


def archs_to_compile(archs: Iterable[str], backend: Backend) -> tuple[str, ...]:
    """Check `--arch`. Raises UsageError."""
    found = gpus.in_order(gpus.listed(archs))
    gpus.check_archs(backend, found, meaning="--arch names the GPUs that the model's own code is compiled for")
    return found


def interpreter(torch: TorchInfo) -> Path:
    """The interpreter that exports. Raises TorchMismatchError for a bare libtorch, which has none."""
    if torch.python is None:
        raise TorchMismatchError(
            f"{torch.root}: a libtorch without Python (from {torch.source})",
            meaning="a model is exported by Python; a libtorch can only build bundles",
            fix="unset LIBTORCH, or name an environment with --venv DIR",
        )
    return torch.python


def check_output(path: Path) -> None:
    """Raise UsageError unless a package can be written there."""
    if path.suffix != ".pt2":
        raise UsageError(
            f"--output {path}: the name does not end in .pt2",
            meaning="PyTorch opens packages by that name only",
            fix=f"--output {path.with_suffix('.pt2')}",
        )
    if not path.parent.is_dir():
        raise UsageError(
            f"--output {path}: there is no folder {path.parent}",
            meaning="the package cannot be written there",
            fix=f"mkdir -p {path.parent}",
        )
    mode = path.lstat().st_mode if os.path.lexists(path) else stat.S_IFREG
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)) or path.is_dir():
        raise UsageError(
            f"--output {path}: is {kind(stat.S_IFDIR if path.is_dir() else mode)}",
            meaning="the package cannot be written there",
            fix="name a file in an existing folder",
        )


class Worker(Protocol):
    """The process that exports, as this module talks to it: `subprocess.Popen`, or one that was started otherwise."""

    stdin: IO[str] | None
    stdout: IO[str] | None
    returncode: int | Any

    def wait(self) -> int:
        """For its end."""


@contextmanager
def new_process(python: Path, log: IO[bytes], workspace: Path) -> Iterator[Worker]:
    """A worker of its own process, which ends with the block."""
    environment = dict(os.environ)
    if _has_space(environment.get("TORCHINDUCTOR_CACHE_DIR") or tempfile.gettempdir()):
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(workspace / "cache")
    # Isolated: neither PYTHON* variables nor the current folder decide which torch is imported.
    command = [str(python), "-I", "-c", _BOOTSTRAP, str(Path(__file__).with_name("worker"))]
    # In the user's language, since it runs the user's code; the compilers that it started end with it.
    with running.session(command, with_input=True, stderr=log, env=environment, patience=0) as worker:
        yield worker


def export(
    request: ExportRequest,
    python: Path,
    listener: Listener,
    *,
    log: IO[bytes] | None = None,
    begin: Callable[[Path, IO[bytes], Path], AbstractContextManager[Worker]] = new_process,
) -> ExportReport:
    """Export with the torch of the interpreter `python`.

    `begin` starts the worker: it is given the interpreter, the log, and a folder for what AOTInductor makes.

    What torch and compilers print goes to `log`, or is kept and shown when the export fails. The package appears at
    `request.output` only when it is whole (and verified, if that was asked for).

    Raises AotpackError and its kinds.
    """
    conversation = Conversation(request, listener)
    with ExitStack() as stack:
        kept = log or stack.enter_context(tempfile.TemporaryFile())
        package, workspace = stack.enter_context(making(request.output))
        with begin(python, kept, workspace) as worker:
            _converse(worker, conversation, conversation.request_to(package, workspace), kept)
    return conversation.report()


@contextmanager
def making(output: Path) -> Iterator[tuple[Path, Path]]:
    """Where to write a package and where to work; it takes its place when the block ends well. Raises UsageError."""
    check_output(output)
    # The folder by its real name; a link of the package's own name is not followed, but replaced.
    output = output.parent.resolve() / output.name
    with scratch_folder(output.parent, f".{output.name}.aotpack-new-") as folder, _workspace() as workspace:
        # torch names the archive's root after the file, so the temporary file bears the final name.
        package = folder / output.name
        steps.reached("exporting")
        yield package, workspace
        steps.reached("packaged")
        package.replace(output)
        steps.reached("replaced")


def _workspace() -> AbstractContextManager[Path]:
    """A folder for what AOTInductor makes; ours to remove, also when the worker is killed."""
    folder = tempfile.gettempdir()
    # Inductor hands its files to compilers without quotes.
    return scratch_folder(Path("/tmp" if _has_space(folder) else folder), "aotpack-export-")  # noqa: S108


def _has_space(text: str) -> bool:
    return text.split() != [text]


class Conversation:
    """What a worker says while it exports, and what it is told."""

    def __init__(self, request: ExportRequest, listener: Listener) -> None:
        self._request = request
        self._listener = listener
        self._notes: list[str] = []
        self._phase = ExitStack()
        self._metadata = ModelMetadata()
        self._comparisons: tuple[Comparison, ...] | None = None
        self._read: dict[str, Any] = {}
        #: The sizes that were run last, in case that the process does not survive them.
        self.trying = ""

    def request_to(self, package: Path, workspace: Path) -> dict[str, Any]:
        """The first thing that the worker is told."""
        file = self._request.file
        places = {"file": None if file is None else str(file), "output": str(package), "workspace": str(workspace)}
        return {
            **asdict(self._request),
            **places,
            "folder": str(self._request.folder or Path.cwd()),
            "closeness": str(_CLOSENESS),
        }

    def hear(self, event: dict[str, Any]) -> str | None:
        """Take an event; returns what is to be answered, if anything. Raises AotpackError for a failure."""
        kind = event.pop("event")
        if kind == "phase":
            self._phase.close()
            self._phase.enter_context(self._listener.step(event["text"]))
        elif kind == "note":
            self._notes.append(event["text"])
            self._listener.warn(event["text"])
        elif kind == "trying":
            self.trying = event["text"]
        elif kind == "compiled":
            steps.reached("compiled")
            self._metadata = _complete(event, self._notes, self._request.archs)
            return msgspec.json.encode(self._metadata).decode()
        elif kind == "error":
            raise error_of(event)
        else:
            self._comparisons = tuple(Comparison(**entry) for entry in event["comparisons"])
            if "files" in event:
                files, settings = tuple(event["files"]), tuple(event["settings"])
                self._read = {"files": files, "folders": event["folders"], "settings": settings}
        return None

    @property
    def is_over(self) -> bool:
        """Whether the package is whole."""
        return self._comparisons is not None

    def report(self) -> ExportReport:
        """What was made, once it is over."""
        return ExportReport(
            self._request.output, self._metadata, tuple(self._notes), self._comparisons or (), **self._read
        )

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_failure: object) -> None:
        """Whatever phase there was is over."""
        self._phase.close()


def error_of(event: dict[str, Any]) -> AotpackError:
    """The error that an event tells of."""
    fields = {name: text for name, text in event.items() if name not in ("event", "kind", "what")}
    return _ERRORS[event["kind"]](event["what"], **fields)


def _converse(worker: Worker, conversation: Conversation, request: dict[str, Any], log: IO[bytes]) -> None:
    """Talk until the package is whole. Raises AotpackError."""
    _send(worker, json.dumps(request))
    with conversation:
        assert worker.stdout is not None  # noqa: S101  (it is a pipe)
        for line in worker.stdout:
            answer = conversation.hear(json.loads(line))
            if answer is not None:
                _send(worker, answer)
            if conversation.is_over:
                return
    worker.wait()
    raise _broke_down(worker.returncode, conversation.trying, log)


def _send(worker: Worker, document: str) -> None:
    assert worker.stdin is not None  # noqa: S101  (it is a pipe)
    try:
        worker.stdin.write(document + "\n")
        worker.stdin.flush()
    except BrokenPipeError:
        pass  # it died; the end of its output says so


def _complete(event: dict[str, Any], notes: list[str], archs: Iterable[str] = ()) -> ModelMetadata:
    """The metadata: what the worker knows, and what the ELF files and those of kernels tell. Raises AotpackError."""
    from aotpack.elf.facts import read_elf

    known = msgspec.convert(event["metadata"], ModelMetadata)
    variants = tuple(_variant(each, is_first=each is event["variants"][0]) for each in event["variants"])
    return msgspec.structs.replace(
        known,
        machine=read_elf(Path(event["variants"][0]["model_so"])).machine,
        cpu_features=variants[0].cpu_features,
        gpu_archs=_gpu_archs(event["kernels"], archs) or known.gpu_archs,
        floors=variants[0].floors,
        variants=variants if len(variants) > 1 else (),
        notes=tuple(notes),
        aotpack_version=__version__,
    )


def _gpu_archs(files: Iterable[str], asked: Iterable[str]) -> tuple[str, ...]:
    """What kernels have code for, where their files say. Raises BuildToolError unless it serves all that was asked."""
    found = kernels.common((file, Path(file).read_bytes()) for file in files if file.endswith(kernels.SUFFIXES))
    lacking = gpus.unserved(found, asked) if found else ()
    if lacking:
        raise BuildToolError(
            f"the kernels have code for {', '.join(found)}, and none for {', '.join(lacking)}",
            meaning="torch leaves out what its compilers fail on without saying so",
            fix="leave these GPUs out of --arch, or run again with -v for what the compilers said",
        )
    return found


def _variant(told: dict[str, Any], *, is_first: bool) -> Variant:
    from aotpack.elf.cpu_features import told_from_code
    from aotpack.elf.facts import read_elf

    library = Path(told["model_so"])
    elf = read_elf(library)
    chosen = told["constants"]
    return Variant(
        name=told["name"],
        library=LIBRARY if is_first else f"model.{told['name']}.so",
        cpu_features=told_from_code(library, told["cpu_features"]),
        floors=Floors(glibc=elf.floor("GLIBC"), glibcxx=elf.floor("GLIBCXX")),
        constants=None if chosen is None else tuple(chosen),
    )


def _broke_down(status: int, trying: str, log: IO[bytes]) -> AotpackError:
    """The worker ended without an answer: killed, or a defect in torch; `trying` are the sizes that it ran last."""
    tail = _tail(log)
    ended = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    if status == -signal.SIGKILL:
        return AotpackError(
            f"the export process {ended}",
            meaning="most likely the machine ran out of memory",
            fix="use a machine with more memory, or a smaller model",
            detail=tail,
        )
    if trying:
        return AotpackError(
            f"the package crashed at {trying}: the export process {ended}",
            meaning="the package does not serve all sizes that it claims; it has not been kept",
            fix="narrow the range of its sizes in dynamic_shapes, and report it with the output of -v",
            detail=tail,
        )
    return AotpackError(
        f"the export process {ended}",
        meaning="torch, a library of it or the module crashed",
        fix="run again with -v and report what it says",
        detail=tail,
    )


def _tail(log: IO[bytes]) -> str:
    if not log.seekable():
        return ""
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").splitlines()[-_LOG_TAIL:])
