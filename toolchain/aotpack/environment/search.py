"""Which torch a backend uses: the order in which places are looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from packaging.version import Version

from aotpack.backend import Backend
from aotpack.environment.reading import read_any, read_environment, read_libtorch
from aotpack.environment.torch import (
    OLDEST,
    Candidate,
    NoTorchError,
    OldTorchError,
    TorchInfo,
    WrongVariantError,
)
from aotpack.errors import TorchMismatchError
from aotpack.tools.programs import on_path


def find_torch(
    backend: Backend,
    *,
    venv: Path | None = None,
    env: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
) -> TorchInfo:
    """The torch that builds for a backend.

    Looked at in this order: `--venv` or else `AOTPACK_VENV`, `LIBTORCH`, the backend's own venv, `.venv`, the active
    environment, `python3` on PATH. The first three are orders: whatever they name is taken or refused. The others are
    passed over when they hold no torch or one of another variant; a broken or too old torch that would have served is
    refused, not passed over.

    Raises:
        TorchMismatchError: its subclasses tell apart no torch, a broken one, an old one, none of the right variant.
    """
    looked_at: list[Candidate] = []
    for place in _places(backend, venv, env, cwd or Path.cwd()):
        info = place.read()
        if info is not None and backend.served_by(info.variant):
            _refuse_old(info)
            looked_at.append(Candidate(source=place.source, path=place.path, remark=f"taken: torch {info.label}"))
            return replace(info, source=place.source, candidates=tuple(looked_at))
        remark = f"torch {info.label} does not serve {backend}" if info else place.absent
        looked_at.append(Candidate(source=place.source, path=place.path, remark=remark))
        if place.ordered:
            raise _none_serves(backend, looked_at, wrong_variant=info is not None)
    raise _none_serves(backend, looked_at, wrong_variant=any("does not serve" in seen.remark for seen in looked_at))


def detect(path: Path, *, env: Mapping[str, str] = os.environ) -> TorchInfo:
    """The torch in a virtual environment, a conda prefix, a libtorch folder, or that of an interpreter.

    Raises:
        TorchMismatchError: there is none, or it is broken.
    """
    place = _Place("given path", path, ordered=True, read=partial(read_any, path, env))
    info = place.read()
    if info is None:
        raise NoTorchError(
            f"{path}: {place.absent}",
            meaning="aotpack needs an environment that has PyTorch, or an unpacked libtorch",
            fix="aotpack init --backend cpu (or cuda, rocm) makes one",
        )
    remark = f"taken: torch {info.label}"
    return replace(info, candidates=(Candidate(source=place.source, path=path, remark=remark),))


def find_beside(backend: Backend, folder: Path) -> Path | None:
    """The environment in a folder that `find_torch` would take there; None where it would look on.

    Raises:
        TorchMismatchError: a broken one.
    """
    for prefix in _beside(backend, folder).values():
        info = read_environment(prefix)
        if info is not None and backend.served_by(info.variant):
            return prefix
    return None


def active(env: Mapping[str, str]) -> dict[str, Path]:
    """The environments that are active, by the variables that name them, the one that Python uses first."""
    return {name: Path(env[name]) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if env.get(name)}


def _beside(backend: Backend, folder: Path) -> dict[str, Path]:
    """Where `aotpack init` puts environments that serve a backend, by name."""
    return {name: folder / name for name in (backend.venv_name, Backend.CPU.venv_name)}


@dataclass(frozen=True)
class _Place:
    """Somewhere a torch may be; `ordered` when the user named it."""

    source: str
    path: Path
    ordered: bool
    read: Callable[[], TorchInfo | None]

    @property
    def absent(self) -> str:
        return "no torch in it" if self.path.exists() else "does not exist"


def _places(backend: Backend, venv: Path | None, env: Mapping[str, str], cwd: Path) -> Iterator[_Place]:
    """The places in order; each once."""
    source, named = ("--venv", venv) if venv is not None else ("AOTPACK_VENV", env.get("AOTPACK_VENV"))
    if named:
        given = cwd / named
        yield _Place(source, given, ordered=True, read=partial(read_environment, given))
    if libtorch := env.get("LIBTORCH"):
        unpacked = cwd / libtorch
        yield _Place("LIBTORCH", unpacked, ordered=True, read=partial(read_libtorch, unpacked, env))
    seen: set[Path] = set()
    for source, prefix in (_beside(backend, cwd) | active(env)).items():
        if prefix.resolve() not in seen:
            seen.add(prefix.resolve())
            yield _Place(source, prefix, ordered=False, read=partial(read_environment, prefix))
    if found := on_path("python3", env.get("PATH")):
        python = Path(found)
        yield _Place("python3 on PATH", python, ordered=False, read=partial(read_any, python, env))


def _none_serves(backend: Backend, looked_at: list[Candidate], *, wrong_variant: bool) -> TorchMismatchError:
    places = "; ".join(f"{seen.path} ({seen.source}): {seen.remark}" for seen in looked_at)
    if wrong_variant:
        what = f"backend {backend} needs a {backend} torch; {places}"
        meaning = "a bundle is built from a torch of its own backend: that torch's libraries travel in it"
    else:
        what = f"no torch found for backend {backend}; {places}"
        meaning = "aotpack takes the libraries and headers it packs from an installed PyTorch"
    if looked_at and looked_at[-1].source == "LIBTORCH":
        fix = f"unset LIBTORCH, or point it at an unpacked libtorch built for {backend}"
    else:
        fix = f"aotpack init --backend {backend}"
        named = looked_at[0].source if looked_at else ""
        if named in ("--venv", "AOTPACK_VENV"):
            fix += f" --venv DIR, or name an environment that has a {backend} torch with {named}"
    kind = WrongVariantError if wrong_variant else NoTorchError
    return kind(what, meaning=meaning, fix=fix)


def _refuse_old(info: TorchInfo) -> None:
    if Version(Version(info.version).base_version) < OLDEST:
        raise OldTorchError(
            f"torch {info.version} in {info.root} is older than {OLDEST}",
            meaning=f"aotpack needs the AOTInductor interface of torch {OLDEST} or newer",
            fix=f"aotpack init --backend {info.variant}, or pip install --upgrade torch in that environment",
        )
