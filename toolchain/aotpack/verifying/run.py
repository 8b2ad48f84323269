"""Proving a bundle by running every model of it in a root that holds nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from aotpack.backend import Backend
from aotpack.bundle.manifest import Bundle
from aotpack.errors import DamagedError, MachineMismatchError
from aotpack.libraries.recipe import load_recipe
from aotpack.tools import running, sandbox
from aotpack.verifying.gpu_driver import find_driver
from aotpack_doctor.base.places import LAUNCHER


@dataclass(frozen=True)
class RunResult:
    """A real inference."""

    #: The tool that made the empty root; None when it ran outside of one.
    sandbox: str | None
    #: Why there was no empty root, for people.
    why_no_sandbox: str = ""
    #: Model name -> the runner's own report of `aotrun check --model NAME --json`.
    models: dict[str, dict[str, Any]] = field(default_factory=dict)


def check_run(folder: Path, bundle: Bundle) -> RunResult:
    """Run every model on its recorded sample in a root that holds only the bundle, and the GPU's driver for GPU models.

    With the full runtime the root has /proc too: libtorch reads there what this processor can do.

    Without a sandbox on this machine it runs with an empty environment and says so in the result.
    Raises DamagedError with the bundle's own words when a run fails, MachineMismatchError when it cannot run here.
    """
    box = None
    if not (bundle.portable and bundle.libc == "bundled" and bundle.python == "bundled"):
        why = "this bundle uses libc, Python or libraries of the machine, so it cannot run in an empty root"
    elif (box := sandbox.find_sandbox()) is None:
        why = "no sandbox is available here: install bubblewrap, or allow user namespaces"
    else:
        why = ""
    kernel = bundle.runtime == "full"
    results = {
        name: _run_model(folder, name, box, model.device, kernel=kernel) for name, model in bundle.models.items()
    }
    return RunResult(box.name if box else None, why, results)


def _backend(model: str, device: str) -> Backend:
    try:
        return Backend(device)
    except ValueError:
        raise DamagedError(
            f"model {model}: its device is {device!r}",
            meaning=f"models are for {', '.join(Backend)}: the bundle's description was changed",
            fix="build the bundle again, or copy it again",
        ) from None


def _run_model(folder: Path, name: str, box: sandbox.Sandbox | None, device: str, *, kernel: bool) -> dict[str, Any]:
    arguments = [LAUNCHER, "check", "--model", name, "--json"]
    if box:
        driver = find_driver(load_recipe(_backend(name, device)).driver)
        inside = [f"{sandbox.INSIDE}/{arguments[0]}", *arguments[1:]]
        command = box.command(folder, inside, driver.libraries, driver.devices, kernel=kernel)
        done = running.run(command)
    else:
        command = [str(folder.absolute() / arguments[0]), *arguments[1:]]  # the run starts in another folder
        environment = {"PATH": os.environ.get("PATH", "")}  # a development bundle may use the host's python3
        done = running.run(command, cwd="/", env=environment)
    if done.status == MachineMismatchError.exit_code:
        raise MachineMismatchError(
            f"model {name}: this machine cannot run it",
            meaning="the bundle may be sound; what it asks for is not here",
            fix=f"run it where it is to be used: {folder}/bin/aotrun check --model {name}",
            detail=_words(done),
        )
    if done.status:
        raise DamagedError(
            f"model {name}: aotrun check ended with exit code {done.status}",
            meaning="the bundle does not run as it should" + (" in an empty root" if box else ""),
            fix=f"run it yourself and read its message: {folder}/bin/aotrun check --model {name}",
            detail=_words(done),
        )
    try:
        msgspec.json.decode(done.output, type=_Report)
        result: dict[str, Any] = json.loads(done.output)
    except (ValueError, RecursionError):  # the bundle's own program says what it likes
        raise DamagedError(
            f"model {name}: aotrun check ended well and said nothing that is a report",
            meaning="the bundle's runner is not the one that aotpack put there",
            fix=f"compare all files with the bundle's description: aotpack verify {folder}",
            detail=_words(done),
        ) from None
    return result


class _Check(msgspec.Struct):
    name: str
    ok: bool
    detail: str


class _Report(msgspec.Struct):
    """What is read here of the report of `aotrun check`."""

    checks: list[_Check]


def _words(done: running.Ended) -> str:
    """What a failed check says: the lines of the report that failed, and what stands on standard error."""
    try:
        report = msgspec.json.decode(done.output, type=_Report)
        failed = [f"{check.name}: {check.detail}" for check in report.checks if not check.ok]
    except (ValueError, RecursionError):
        failed = [done.output.strip()]
    return "\n".join(filter(None, [*failed, done.errors.strip()]))
