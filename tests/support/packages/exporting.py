"""Packages for tests: exported once, kept under a hash of all that they follow from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.exporting import driving
from tests.support.packages import export_workers

ROOT = Path(__file__).resolve().parents[3]
SUPPORT = ROOT / "tests" / "support"
#: Files of functions that each give a module and its inputs.
SOURCES = SUPPORT / "models"
EXAMPLES = ROOT / "examples"
CACHE = ROOT / ".cache" / "tests"


class Silent:
    """Listens to an export and keeps its warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        yield

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def cached_export(venv: Path, source: Path, **options: str | bool) -> Path:
    """Export once per content of the source, the exporter, torch and the options; processes wait for each other.

    For this machine alone unless `cpu_isa` says otherwise: several variants would take longer.
    """
    torch = find_torch(Backend.CPU, venv=venv)
    exporter = ROOT / "toolchain" / "aotpack"
    files = (source, exporter / "package" / "metadata.py", *sorted(exporter.glob("exporting/**/*.py")))

    def make(package: Path) -> None:
        request = driving.ExportRequest(
            **{"file": source, "function": "model", "output": package, "verify": True, "cpu_isa": "native", **options}  # type: ignore[arg-type]
        )
        driving.export(request, driving.interpreter(torch), Silent(), begin=export_workers.forked)

    return cached(f"{source.stem}.pt2", (torch.version, str(sorted(options.items()))), files, make)


#: How PyTorch's documentation says to make a package.
_PLAIN_EXPORT = """
import sys, torch
folder, module, function, package = sys.argv[1:]
sys.path.insert(0, folder)
module, inputs, *shapes = getattr(__import__(module), function)()
with torch.no_grad():
    program = torch.export.export(module, inputs, dynamic_shapes=shapes[0] if shapes else None)
    torch._inductor.aoti_compile_and_package(program, package_path=package)
"""


def cached_plain_export(venv: Path, source: Path, function: str = "model") -> Path:
    """As plain PyTorch packages `source:function`: no metadata of ours, weights inside model.so."""
    torch = find_torch(Backend.CPU, venv=venv)

    def make(package: Path) -> None:
        partial = package.with_name(f"partial-{package.name}")
        command = [driving.interpreter(torch), "-c", _PLAIN_EXPORT, source.parent, source.stem, function, partial]
        subprocess.run(command, check=True, capture_output=True)
        partial.rename(package)

    return cached(f"plain_{source.stem}.pt2", (torch.version, _PLAIN_EXPORT, function), (source,), make)


def cached(name: str, facts: Sequence[str], files: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """The file that `make` makes, kept under a hash of all that it follows from."""
    content = hashlib.sha256("\0".join(facts).encode())
    for file in files:
        content.update(file.read_bytes())
    folder = CACHE / f"{Path(name).stem}-{content.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / name).exists():
            make(folder / name)
    return folder / name
