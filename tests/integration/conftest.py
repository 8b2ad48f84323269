"""Fixtures of tests that build for real: the backend's environment and exported packages, cached between runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aotpack import export
from aotpack.backend import Backend
from aotpack.torch_env import find_torch

ROOT = Path(__file__).resolve().parents[2]
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


@pytest.fixture(scope="session")
def backend_venv() -> Path:
    """The environment that `aotpack init` made."""
    venv = ROOT / ".venv"
    assert (venv / "bin" / "python").exists(), f"{venv} is missing: run `aotpack init --backend cpu` (or `make init`)"
    return venv


@pytest.fixture(scope="session")
def backend_python(backend_venv: Path) -> Path:
    """Its interpreter."""
    return export.interpreter(find_torch(Backend.CPU, venv=backend_venv))


@pytest.fixture(scope="session")
def exported(backend_venv: Path) -> Callable[..., Path]:
    """`exported("mlp")`: the package of examples/mlp.py:model, verified against eager PyTorch.

    Keyword arguments are fields of `ExportRequest`; `function="other"` names another function of the file.
    """

    def get(name: str, **options: str | bool) -> Path:
        return cached_export(backend_venv, EXAMPLES / f"{name}.py", **options)

    return get


def cached_export(venv: Path, source: Path, **options: str | bool) -> Path:
    """Export once per content of the source, the exporter, torch and the options; processes wait for each other."""
    torch = find_torch(Backend.CPU, venv=venv)
    exporter = ROOT / "toolchain" / "aotpack"
    content = hashlib.sha256(f"{torch.version}{sorted(options.items())}".encode())
    for file in (
        source,
        exporter / "export.py",
        exporter / "metadata.py",
        *sorted(exporter.glob("export_worker/*.py")),
    ):
        content.update(file.read_bytes())
    folder = CACHE / f"{source.stem}-{content.hexdigest()[:16]}"
    package = folder / f"{source.stem}.pt2"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not package.exists():
            request = export.ExportRequest(
                **{"file": source, "function": "model", "output": package, "verify": True, **options}  # type: ignore[arg-type]
            )
            export.export(request, export.interpreter(torch), Silent())
    return package


@pytest.fixture(scope="session")
def portable(backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portable bundle of the MLP with the full runtime. Tests must not change it."""
    from aotpack.build import BuildRequest, Reporter, build

    output = tmp_path_factory.mktemp("portable") / "mlp bundle"  # a space, because users have them
    request = BuildRequest(
        backend=Backend.CPU,
        output=output,
        models=(("mlp", exported("mlp")),),
        portable=True,
        runtime="full",
        venv=backend_venv,
    )
    build(request, Reporter())
    return output
