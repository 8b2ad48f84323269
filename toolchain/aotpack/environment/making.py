"""Making a backend's virtual environment: what `aotpack init` does.

The plan is a value (and what `--dry-run` prints); carrying it out either ends in an environment whose torch was
found by the same detection that every other command uses, or leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from aotpack.environment.python import read_env, read_pyvenv_cfg
from aotpack.environment.search import detect, find_torch
from aotpack.environment.torch import OLDEST, TorchInfo
from aotpack.errors import AotpackError, BuildToolError, TorchMismatchError, UsageError
from aotpack.libraries.recipe import Recipe
from aotpack.tools import running, steps

Command = tuple[str, ...]

#: What pip says when a host does not answer; the path of the page it wanted follows.
_NO_CONNECTION = re.compile(r"connection broken by|Could not fetch URL|Max retries exceeded|Network is unreachable")
_DETAIL_LINES = 20
#: In an environment that is not whole yet.
_UNFINISHED = ".aotpack-init-unfinished"


@dataclass(frozen=True, kw_only=True)
class EnvironmentPlan:
    """The commands that make an environment.

    Attributes:
        recipe: the backend's recipe.
        venv: the environment's folder.
        create: makes the folder or gives an existing one its pip; None when it is ready for pip.
        installs: pip commands, each tried only when pip found no such torch with the one before.
    """

    recipe: Recipe
    venv: Path
    create: Command | None
    installs: tuple[Command, ...]


def plan_environment(
    recipe: Recipe, venv: Path, *, python: Path | None = None, version: str | None = None
) -> EnvironmentPlan:
    """What to run so that `venv` gets the recipe's torch.

    Args:
        recipe: names torch's version, index and the further packages.
        venv: the folder, which may exist.
        python: the interpreter a new environment is made of; the running one by default.
        version: a torch version in place of the recipe's, with or without a local tag.

    Raises:
        UsageError: the folder is something else, or the version is none.
        TorchMismatchError: the version is too old.
    """
    wanted = _checked_version(version or recipe.torch.version)
    interpreter = venv / "bin" / "python3"
    found = None if _is_unfinished(venv) else read_env(venv)
    if found is None:
        _refuse_other_folder(venv)
        create: Command | None = (str(python or sys.executable), "-I", "-m", "venv", str(venv))
    elif not _installed("pip", found.search_path):
        create = (str(interpreter), "-I", "-m", "ensurepip")
    else:
        create = None
    pip = (str(interpreter), "-I", "-m", "pip", "install", "--disable-pip-version-check")
    requirement, indexes = _sources(recipe, wanted)
    installs = tuple(
        (*pip, *(("--extra-index-url", index) if index else ()), requirement, *recipe.torch.packages)
        for index in indexes
    )
    return EnvironmentPlan(recipe=recipe, venv=venv, create=create, installs=installs)


def satisfied(recipe: Recipe, venv: Path, *, version: str | None = None) -> TorchInfo | None:
    """The torch of an environment that already is what the recipe (or `version`) asks for; None when it is not."""
    found = read_env(venv)
    if found is None or _is_unfinished(venv):
        return None
    try:
        info = detect(venv)
    except TorchMismatchError:
        return None
    wanted = Version(_checked_version(version or recipe.torch.version))
    same = Version(info.version) == wanted if wanted.local else info.base_version == wanted.public
    if not same or not recipe.backend.served_by(info.variant):
        return None
    requirements = (Requirement(package) for package in recipe.torch.packages)
    return info if all(_fulfilled(requirement, found.search_path) for requirement in requirements) else None


def make_environment(plan: EnvironmentPlan, say: Callable[[str], None]) -> TorchInfo:
    """Carry out a plan and check its result by detection.

    Args:
        plan: from `plan_environment`.
        say: gets every line that venv and pip print.

    Raises:
        BuildToolError: venv or pip failed; an environment that was begun is gone again.
        TorchMismatchError: pip installed a torch that does not serve the backend.
    """
    if plan.venv.exists() and any(plan.venv.iterdir()) and not _is_unfinished(plan.venv):
        return _carried_out(plan, say)
    with _marked_unfinished(plan.venv):
        return _carried_out(plan, say)


def _carried_out(plan: EnvironmentPlan, say: Callable[[str], None]) -> TorchInfo:
    steps.reached("creating")
    if plan.create:
        _create(plan.create, say)
    steps.reached("installing")
    _install(plan, say)
    steps.reached("installed")
    return find_torch(plan.recipe.backend, venv=plan.venv, env={})


def _is_unfinished(venv: Path) -> bool:
    """Whether it was begun by an init that never came to its end: killed, or still at work."""
    return (venv / _UNFINISHED).is_file()


@contextlib.contextmanager
def _marked_unfinished(venv: Path) -> Iterator[None]:
    """A folder that is made anew, and is gone when the block fails; one that a kill leaves tells what it is.

    Raises UsageError while another process makes it.
    """
    venv.mkdir(parents=True, exist_ok=True)
    marker = venv / _UNFINISHED
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        # In a folder that has files, the marker that was seen a moment ago or none.
        descriptor = os.open(marker, flags | (0 if any(venv.iterdir()) else os.O_CREAT), 0o644)
    except FileNotFoundError:
        raise _being_made(venv) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _being_made(venv) from None
        if not _is_unfinished(venv):  # whoever held it has come to the end
            raise _being_made(venv)
        try:
            for path in venv.iterdir():
                if path != marker:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            yield
            marker.unlink()
        except BaseException:
            shutil.rmtree(venv, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _being_made(venv: Path) -> UsageError:
    return UsageError(
        f"{venv} is being made by another aotpack init",
        meaning="two that install into one folder would leave neither's packages whole",
        fix="wait for it, or name another folder with --venv",
    )


def _checked_version(text: str) -> str:
    try:
        version = Version(text)
    except InvalidVersion:
        raise UsageError(
            f"--torch {text!r} is not a version",
            meaning="a version looks like 2.13.0, or 2.13.0+cpu to ask for one build of it",
            fix="leave --torch away to take the version that the recipe names",
        ) from None
    if Version(version.base_version) < OLDEST:
        raise TorchMismatchError(
            f"torch {text} is older than {OLDEST}",
            meaning=f"aotpack needs the AOTInductor interface of torch {OLDEST} or newer",
            fix=f"name a version from {OLDEST} on, or leave --torch away",
        )
    return text


def _refuse_other_folder(venv: Path) -> None:
    """A folder that has files but is no usable environment belongs to somebody."""
    if not venv.exists() or (venv.is_dir() and not any(venv.iterdir())) or _is_unfinished(venv):
        return
    broken = bool(read_pyvenv_cfg(venv))
    raise UsageError(
        f"{venv} " + ("is an environment whose interpreter is missing" if broken else "is not a Python environment"),
        meaning="aotpack does not overwrite what it did not make",
        fix=f"rm -r {venv}, or name another folder with --venv",
    )


def _sources(recipe: Recipe, wanted: str) -> tuple[str, tuple[str | None, ...]]:
    """The requirement for torch and the extra indexes to try in turn (None: the user's own configuration only).

    A wheel that names its variant (`2.13.0+cpu`) is first looked for in what the user has configured (find-links, a
    mirror), so that no index needs to be reached when the wheel is at hand. Without a tag only PyPI's own wheel is
    meant; `===` keeps out a tagged one of another variant, which `==` would prefer.
    """
    index = recipe.torch.index
    if Version(wanted).local:
        return f"torch=={wanted}", (None, index) if index else (None,)
    if index is None:
        return f"torch==={wanted}", (None,)
    tag = urlsplit(index).path.rstrip("/").rpartition("/")[2]
    if re.fullmatch(r"cpu|cu\d+|rocm[\d.]+", tag):
        return f"torch=={wanted}+{tag}", (None, index)
    return f"torch=={wanted}", (index,)


def _installed(name: str, search_path: Sequence[Path]) -> importlib.metadata.Distribution | None:
    path = [str(folder) for folder in search_path]
    return next(iter(importlib.metadata.distributions(name=name, path=path)), None)


def _fulfilled(requirement: Requirement, search_path: Sequence[Path]) -> bool:
    found = _installed(requirement.name, search_path)
    return found is not None and requirement.specifier.contains(found.version, prereleases=True)


def _create(command: Command, say: Callable[[str], None]) -> None:
    status, output = _run(command, say)
    if status == 0:
        return
    fix = "name another interpreter with --python"
    if "ensurepip" in output:
        fix = f"apt-get install python3-venv (Debian, Ubuntu), or {fix}"
    raise BuildToolError(
        f"{' '.join(command)} failed with exit status {status}",
        meaning="this interpreter cannot make virtual environments",
        fix=fix,
        detail=output,
    )


def _install(plan: EnvironmentPlan, say: Callable[[str], None]) -> None:
    for number, command in enumerate(plan.installs, start=1):
        is_last = number == len(plan.installs)
        # An attempt that has a successor fails quietly.
        status, output = _run(
            command, say if is_last else lambda line: None if line.startswith("ERROR:") else say(line)
        )
        if status == 0:
            return
        if is_last or "No matching distribution found for torch=" not in output:
            raise _install_error(plan, command, status, output)
        say(f"not among your own pip sources; asking {plan.recipe.torch.index}")


def _install_error(plan: EnvironmentPlan, command: Command, status: int, output: str) -> AotpackError:
    requirement = next(word for word in command if word.startswith("torch="))
    # The rest has just been shown.
    detail = "\n".join(line for line in output.splitlines() if line.startswith("ERROR:"))
    unreachable = _unreachable_index(output, plan.recipe.torch.index)
    if unreachable:
        return BuildToolError(
            f"the package index {unreachable} cannot be reached, and {requirement} is nowhere else",
            meaning="pip needs an index or a folder of wheels that has this torch",
            fix=f"check the connection and proxy, or put the wheel in a folder: PIP_FIND_LINKS=DIR aotpack init "
            f"--backend {plan.recipe.backend}",
            detail=detail,
        )
    if "No matching distribution found for torch=" in output:
        return BuildToolError(
            f"pip finds no {requirement} for {command[0]}",
            meaning="no index that was asked has this version for this Python version and machine",
            fix="name a version that exists with --torch, or another interpreter with --python",
            detail=detail,
        )
    return BuildToolError(
        f"pip could not install {requirement} into {plan.venv} (exit status {status})",
        meaning="the environment is not complete without it",
        fix="see pip's own message below",
        detail=detail,
    )


def _unreachable_index(output: str, index: str | None) -> str | None:
    """Which index did not answer for torch, by pip's messages; None when all did."""
    failures = [line for line in output.splitlines() if _NO_CONNECTION.search(line) and "/torch/" in line]
    if not failures:
        return None
    if index and any(f"{urlsplit(index).path.rstrip('/')}/torch/" in line for line in failures):
        return index
    asked = re.search(r"Looking in indexes: (.*)", output)
    return asked[1] if asked else "PyPI, pip's default index"


def _run(command: Command, say: Callable[[str], None]) -> tuple[int, str]:
    """Run a command, passing on its lines as they come; its exit status and the last of its output."""
    try:
        ended = running.run_lines(command, say)
    except running.StartError as error:
        raise BuildToolError(
            f"{command[0]} cannot be run: {(error.strerror or str(error)).lower()}",
            meaning="no environment can be made with this interpreter",
            fix="name another interpreter with --python",
        ) from error
    return ended.status, "\n".join(ended.output.splitlines()[-_DETAIL_LINES:])
