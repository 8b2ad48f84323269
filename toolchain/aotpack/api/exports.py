"""`aotpack.export`: from a PyTorch module to a package."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from aotpack.api.packages import Package
from aotpack.backend import Backend
from aotpack.environment.torch import TorchInfo
from aotpack.errors import UsageError
from aotpack.exporting import driving, in_process
from aotpack.exporting.driving import ExportReport, ExportRequest
from aotpack.exporting.options import Value, check_options
from aotpack.exporting.sources import FORMS, Source, parse_source
from aotpack.progress.choosing import Progress, reporter_for
from aotpack.progress.reporter import Reporter


def export(
    source: Any,
    args: Sequence[Any] | Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    output: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    archs: Iterable[str] = (),
    constants: str = ExportRequest.constants,
    cpu_isa: str = ExportRequest.cpu_isa,
    verify: bool = ExportRequest.verify,
    against: str | None = None,
    sample: bool = ExportRequest.sample,
    allow_fixed: bool = ExportRequest.allow_fixed,
    options: Mapping[str, Value] | None = None,
    venv: str | os.PathLike[str] | None = None,
    progress: Progress = None,
    log: IO[bytes] | None = None,
) -> Package:
    """Compile a PyTorch model ahead of time.

        package = aotpack.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},), verify=True)
        package = aotpack.export("model.py:model", output="model.pt2")
        package = aotpack.export("saved_program.pt2", output="model.pt2")

    A module, and a program of torch.export, is exported by the torch of this process; it stays as it was. What is named
    by a text is exported by the torch of an environment, as on the command line, in a process of its own.

    Args:
        source: a `torch.nn.Module`, a `torch.export.ExportedProgram`, or a text: `FILE.py:FUNCTION`,
            `package.module:FUNCTION` or the file that torch.export.save wrote.
        args, kwargs: example inputs of a module: a tuple of positional ones or a dict of named ones, or both.
        dynamic_shapes: the sizes that may vary, as for torch.export.export.
        output: the `.pt2` to write; without it, the package is kept as long as the returned object.
        device: what it will run on: `cpu`, `cuda`, `cuda:1`, `rocm`, ...
        archs: GPUs that it is compiled for, such as `sm_80` and `sm_90`, where torch can do so for others than this
            machine's own, which is the default. NVIDIA's later GPUs run it as well.
        constants: `frozen`: weights folded and packed for speed; `updatable`: as the module has them.
        cpu_isa: CPUs that it is to run on: `portable` for all, `native` for those like this one, or some of `baseline`,
            `avx2`, `avx512` and `amx` with commas between.
        verify: compare with eager PyTorch; a package that differs is not kept.
        against: names another module as `source` does, such as the one before it was quantised: how far the package's
            outputs are from its is told.
        sample: record the example inputs and outputs in the package.
        allow_fixed: accept that sizes vary less than asked where torch cannot do it.
        options: Inductor's, those that keep a bundle's promises (`aotpack.exporting.options.ALLOWED`).
        venv: the environment whose torch exports what a text names; by default that of this process, if it has
            imported torch.
        progress: a callback for `aotpack.Event`s, True or False; shown where somebody looks by default.
        log: where what torch and compilers print goes.

    Raises:
        AotpackError: one of its subclasses; `what`, `meaning`, `fix` and `exit_code` are those of the command line.
    """
    here = in_process.is_ours_to_export(source)
    named = None if here else _named(source, args, kwargs, dynamic_shapes)
    folder = None
    if output is None:
        folder = tempfile.TemporaryDirectory(prefix="aotpack-package-")
        output = Path(folder.name) / f"{named.name if named else 'model'}.pt2"
    backend, torch_device = driving.parse_device(device)
    request = ExportRequest(
        file=None,
        function="",
        output=Path(output),
        device=torch_device,
        constants=constants,
        cpu_isa=driving.parse_isas(cpu_isa),
        verify=verify,
        against=None if against is None else _place_of(parse_source(against)),
        sample=sample,
        allow_fixed=allow_fixed,
        archs=driving.archs_to_compile(archs, backend),
        options=check_options(options or {}),
    )
    reporter = reporter_for(progress)
    if named is None:
        positional, by_name = in_process.inputs_of(args, kwargs)
        report = in_process.export(request, source, positional, by_name, dynamic_shapes, reporter, log=log)
    else:
        where = in_process.own_environment() if venv is None else Path(venv)
        report = _export_named(request, named, backend, where, reporter, log)
    return Package(report.output, report.notes, report.comparisons, _folder=folder)


def _named(source: Any, args: Any, kwargs: Any, dynamic_shapes: Any) -> Source:
    """The source that a text names. Raises UsageError for all else."""
    if isinstance(source, (str, os.PathLike)):
        if args is not None or kwargs is not None or dynamic_shapes is not None:
            raise UsageError(
                f"{source}: named by a text, and inputs beside it",
                meaning="the function that a text names returns the example inputs and sizes along with the module",
                fix="leave args, kwargs and dynamic_shapes out, or hand over the module itself",
            )
        return parse_source(os.fspath(source))
    raise UsageError(
        f"a {type(source).__name__} cannot be exported",
        meaning="a model is a torch.nn.Module, a torch.export.ExportedProgram, or a text that names one",
        fix=f"pass the module itself, or {FORMS}",
    )


def _place_of(source: Source) -> tuple[str, str, str]:
    return "" if source.file is None else str(source.file), source.module, source.function


def export_once(
    source: Source,
    *,
    name: str | None = None,
    device: str = "cpu",
    archs: Iterable[str] = (),
    constants: str = ExportRequest.constants,
    cpu_isa: str = ExportRequest.cpu_isa,
    verify: bool = ExportRequest.verify,
    sample: bool = ExportRequest.sample,
    allow_fixed: bool = ExportRequest.allow_fixed,
    options: Mapping[str, Value] | None = None,
    venv: Path | None = None,
    folder: Path | None = None,
    force: bool = False,
    progress: Progress = None,
    log: IO[bytes] | None = None,
) -> Package:
    """Export into the cache what a build asks for, unless it is there already: see `aotpack.exporting.kept`.

    Args:
        name: of the package's file; after the source by default.
        folder: where a module is looked for; the current one by default.
        force: export it again in any case.

    The others are those of `export`. Raises AotpackError.
    """
    from aotpack.exporting.kept import export_once as export_and_keep

    backend, torch_device = driving.parse_device(device)
    request = ExportRequest(
        file=source.file,
        function=source.function,
        module=source.module,
        folder=folder,
        output=Path(f"{name or source.name}.pt2"),
        device=torch_device,
        constants=constants,
        cpu_isa=driving.parse_isas(cpu_isa),
        verify=verify,
        sample=sample,
        allow_fixed=allow_fixed,
        archs=driving.archs_to_compile(archs, backend),
        options=check_options(options or {}),
    )
    reporter = reporter_for(progress)
    report = export_and_keep(request, _torch(backend, venv, log), reporter, force=force, log=log)
    return Package(report.output, report.notes, report.comparisons)


def _export_named(
    request: ExportRequest,
    source: Source,
    backend: Backend,
    venv: Path | None,
    reporter: Reporter,
    log: IO[bytes] | None,
) -> ExportReport:
    driving.check_output(request.output)
    torch = _torch(backend, venv, log)
    request = replace(request, file=source.file, module=source.module, function=source.function)
    return driving.export(request, driving.interpreter(torch), reporter, log=log)


def _torch(backend: Backend, venv: Path | None, log: IO[bytes] | None) -> TorchInfo:
    from aotpack.environment.search import find_torch

    torch = find_torch(backend, venv=venv)
    if log is not None:
        log.write(f"torch {torch.label} in {torch.root}, from {torch.source}\n".encode())
        log.flush()
    return torch
