"""Packages that are kept between builds, by the contents of all that they follow from.

The worker tells what it read of the user's: files (modules, weights, whatever the function opened, or looked for in
vain), names in folders, environment variables. The same request with the same contents is the same package, so it is
not made again. What C code reads without Python's knowing, and lets go of again, is not noticed, nor are clocks, random
numbers and the network; `--force` exports in any case.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO

import msgspec

from aotpack import __version__, resources
from aotpack.environment.torch import TorchInfo
from aotpack.exporting import driving
from aotpack.exporting.driving import Comparison, ExportReport, ExportRequest, Listener
from aotpack.exporting.worker import reading
from aotpack.package.model import read_model
from aotpack.tools.cache import cache_home, cached_folder, content_key, found_folder
from aotpack.tools.compilers import find_compiler
from aotpack.tools.scratch import scratch_folder, write_whole
from aotpack_doctor.base import hashing
from aotpack_doctor.base.regular import read_regular
from aotpack_doctor.reading.gpus import read_toolkit
from aotpack_doctor.reading.toolkits import CUDA, ROCM

#: Of the cache's folders.
KIND = "packages"
#: Environment variables that tell torch's compiler how to compile.
_SETTINGS = ("TORCHINDUCTOR_", "TORCHDYNAMO_", "TORCH_COMPILE_", "TRITON_", *CUDA.variables, *ROCM.variables)


class Record(msgspec.Struct):
    """What is remembered of one request."""

    #: File -> SHA-256 of its content; empty where there is none.
    files: dict[str, str]
    #: Folder -> hash of the names in it.
    folders: dict[str, str] = {}
    #: Environment variable -> hash of its value. Values may be secrets.
    settings: dict[str, str] = {}
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()

    def follows_from(self) -> tuple[dict[str, str], ...]:
        """What the package follows from."""
        return self.files, self.folders, self.settings

    def is_as_now(self) -> bool:
        """Whether the same would be read again."""
        now = _hashes(self.files), {folder: reading.listing(folder) for folder in self.folders}, _values(self.settings)
        return self.follows_from() == now


def export_once(
    request: ExportRequest, torch: TorchInfo, listener: Listener, *, force: bool = False, log: IO[bytes] | None = None
) -> ExportReport:
    """Export into the cache, unless the package is there. Only the name of `request.output` matters.

    Raises AotpackError and its kinds.
    """
    key = _key(request, torch)
    place = cache_home() / "exports" / f"{key}.json"
    known = _read(place)
    if known is not None and not force and known.is_as_now():
        found = found_folder(KIND, _package_key(key, known))
        if found is not None:
            package = found / request.output.name
            return ExportReport(package, read_model(package).metadata, known.notes, known.comparisons)
    place.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(place.parent, ".exporting-") as scratch:
        start = time.time_ns()
        report = driving.export(
            replace(request, output=scratch / request.output.name), driving.interpreter(torch), listener, log=log
        )
        own = () if request.file is None else (str(request.file),)
        record = Record(
            files=_hashes({*report.files, *own}),
            folders=dict(report.folders),
            settings=_values(report.settings),
            comparisons=report.comparisons,
            notes=report.notes,
        )
        # What somebody wrote meanwhile may not be what was read, so it must not be found by that.
        is_settled = not _changed_since(start, record.files)
        package_key = _package_key(key, record) if is_settled else content_key([key, f"unsettled {start}"])

        def fill(folder: Path) -> None:
            shutil.move(report.output, folder / request.output.name)

        if force:
            _forget(key, record)
        made = cached_folder(KIND, package_key, fill)
    if known is not None and known.follows_from() != record.follows_from():
        _forget(key, known)
    if is_settled:
        write_whole(place, msgspec.json.encode(record))
    return replace(report, output=made / request.output.name)


def _key(request: ExportRequest, torch: TorchInfo) -> str:
    """Of what an export follows from besides the user's files."""
    asked = {**asdict(request), "file": str(request.file), "output": request.output.name}
    asked["folder"] = str(request.folder or Path.cwd()) if request.module else ""
    own = [*resources.files_below(Path(__file__).parent), resources.PACKAGE / "package" / "metadata.py"]
    settings = [name for name in os.environ if name.startswith(_SETTINGS) and not name.endswith("_CACHE_DIR")]
    asked["torch"] = [(name, os.environ[name]) for name in sorted(settings)]
    return content_key(
        [
            __version__,
            repr(sorted(asked.items())),
            f"{torch.python} {torch.version}",
            repr(_installed(torch.site_packages)),
            find_compiler("c++").identity,
            repr(read_toolkit(str(torch.variant))),
            _processor(),
            *(path.read_bytes() for path in own),
        ]
    )


def _installed(site_packages: Path | None) -> list[tuple[str, str]]:
    """Packages of an environment, each with the hash of its list of files: a version that was installed anew, as
    people do with their own, may have others."""
    names = [] if site_packages is None else sorted(path.name for path in site_packages.iterdir())
    found = [name for name in names if name.endswith((".dist-info", ".egg-info", ".pth"))]
    records = {name: str(Path(site_packages or "", name, "RECORD")) for name in found}
    hashes = _hashes(records.values())
    return [(name, hashes[records[name]]) for name in found]


def _processor() -> str:
    """This machine's CPU: its instructions, and its caches, which say how products are cut into blocks."""
    names = ("model name", "flags", "cache size", "Features")
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(names))


def _package_key(key: str, record: Record) -> str:
    return content_key([key, *(repr(sorted(each.items())) for each in record.follows_from())])


def _values(names: Iterable[str]) -> dict[str, str]:
    return reading.values(names, os.environb, str(Path.cwd()))


#: In place of the hash of a folder, or of what may not be read.
_THERE = "there"


def _hashes(files: Iterable[str]) -> dict[str, str]:
    """Empty ones for what is not there."""
    found = {}
    for file in files:
        try:
            found[file] = hashing.sha256_of(file)
        except OSError:
            found[file] = _THERE if os.path.lexists(file) else ""
    return found


def _changed_since(start: int, files: Mapping[str, str]) -> bool:
    """Whether somebody wrote while it was exported: then it is not known which content was read."""
    try:
        return any(
            Path(file).stat().st_mtime_ns >= start for file, content in files.items() if content not in ("", _THERE)
        )
    except OSError:
        return True


def _read(place: Path) -> Record | None:
    try:
        return msgspec.json.decode(read_regular(str(place), follow=False), type=Record)
    except (OSError, msgspec.MsgspecError, UnicodeError):
        return None


def _forget(key: str, record: Record) -> None:
    """Delete a package that nothing will ask for again."""
    shutil.rmtree(cache_home() / "parts" / KIND / _package_key(key, record), ignore_errors=True)
