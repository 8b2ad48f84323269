"""What the tests of embedding share: a project made by `aotpack new`, its commands, and the empty root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from aotpack import new_project
from tests.support.machines import isolation

ROOT = Path(__file__).resolve().parents[3]

#: The first elements of an output that a template's program prints.
SHOWN = 8


def project(language: str, folder: Path, bundle: Path) -> Path:
    """A new project named `my-app` linked to `bundle`."""
    new_project.create(language, folder / "my-app", bundle)
    return folder / "my-app"


def run(
    *command: str | Path, cwd: Path | None = None, status: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with the environment's own variables and these; its exit code must be `status`."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    shown = " ".join(map(str, command))
    assert done.returncode == status, f"{shown}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def sample(bundle: Path, folder: Path) -> tuple[Path, list[float]]:
    """The recorded input of the bundle's MLP as a .npy file in `folder`, and the first elements of eager's output."""
    with np.load(bundle / "models" / "mlp" / "sample.npz") as arrays:
        inputs = [arrays[key] for key in arrays if key.startswith("in.")]
        outputs = [arrays[key] for key in arrays if key.startswith("out.")]
    path = folder / "input.npy"
    np.save(path, inputs[0])
    return path, [float(value) for value in outputs[0].ravel()[:SHOWN]]


def assert_prints(text: str, expected: Sequence[float]) -> None:
    """`name: type[shape] = 1 2 3 ...` with these numbers, as all templates print an output."""
    numbers = text.split(" = ")[1].replace(",", " ").removesuffix("\n").removesuffix("...").split()
    np.testing.assert_allclose([float(number) for number in numbers], expected, rtol=1e-4, atol=1e-5)


def assert_three_lines(done: subprocess.CompletedProcess[str]) -> None:
    """An error as the contract has it: what is wrong, what it means, what to do."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 3, done.stderr
    assert lines[0].startswith("error: ")


def runpath(program: Path) -> list[str]:
    """The folders of a program's DT_RUNPATH; it must have no DT_RPATH, which nobody could override."""
    with program.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".dynamic")
        assert isinstance(section, DynamicSection)
        tags = {tag.entry.d_tag: tag for tag in section.iter_tags()}
    assert "DT_RPATH" not in tags
    return str(tags["DT_RUNPATH"].runpath).split(":") if "DT_RUNPATH" in tags else []


def deploy(program: Path, bundle: Path, folder: Path) -> Path:
    """Program and bundle side by side in `folder`, as a user would copy them; hard links spare the disk."""
    folder.mkdir(parents=True)
    shutil.copy2(program, folder)
    shutil.copytree(bundle, folder / "bundle", symlinks=True, copy_function=os.link)
    return folder


def in_empty_root(folder: Path, *arguments: str | Path, extra: Sequence[tuple[Path, str]] = ()) -> str:
    """Run a deployed program (first argument, a name in `folder`) in a root that holds that folder alone.

    There is no libc there and no dynamic linker but the bundle's. Returns what it printed.
    """
    sandbox = isolation.empty_root()
    bundle = "/bundle/bundle"  # the sandbox shows `folder` as /bundle
    loader = [f"{bundle}/libc/ld-linux-x86-64.so.2", "--library-path", f"{bundle}/libc:{bundle}/lib/gcc"]
    program, *rest = map(str, arguments)
    return run(*sandbox.command(folder, [*loader, f"/bundle/{program}", *rest], extra)).stdout


def needs(tool: str) -> None:
    """Skip, loudly, where a tool of the language is not installed."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool.upper()} IS NOT INSTALLED: the tests of this language's template do not run here")


def two_models(bundle: Path, folder: Path) -> Path:
    """A bundle that holds the model of `bundle` twice, as `first` and `second`; the rest are links to it."""
    (folder / "models").mkdir(parents=True)
    for entry in bundle.iterdir():
        if entry.name != "models":
            (folder / entry.name).symlink_to(entry)
    for name in ("first", "second"):
        (folder / "models" / name).symlink_to(bundle / "models" / "mlp")
    return folder
