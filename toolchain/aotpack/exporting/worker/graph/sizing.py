"""The graph together with the sizes that it serves, before and after it is compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import naming
from ..eager.running import RENAMED, Run, is_told
from ..failure import WorkerError
from ..subject import Subject
from . import guards, least_sizes, signature, tracing
from .signature import Signature, Written

Note = Callable[[str], None]


@dataclass
class Sized:
    """A program and what it says of itself."""

    program: Any
    subject: Subject
    #: The eager call that told the outputs' names.
    run: Run
    written: Written
    #: None for a program without tensors.
    shape_env: Any
    #: How many guards torch.export made.
    exported: int
    described: Signature

    @property
    def changes(self) -> tuple[str, ...]:
        """The module's own buffers that a call changes."""
        return self.written.buffers

    def after_compilation(self, *, allow_fixed: bool, note: Note) -> Signature:
        """The signature of the code, which may serve less than the graph: Inductor takes some sizes for constants.

        Raises WorkerError for that, unless `allow_fixed`; then `note` is told.
        """
        described = _describe(self.program, self.subject, self.run, self.written, self.shape_env, self.exported)
        fixed = described.fixed_since(self.described)
        if fixed and not allow_fixed:
            raise WorkerError(
                f"the sizes cannot vary as asked: AOTInductor compiles for {', '.join(fixed)} alone",
                meaning="an op of the module is compiled for the example's sizes, whatever its graph says",
                fix="leave these dims out of dynamic_shapes, or accept it with --allow-fixed",
                kind="model",
            )
        if fixed:
            note(f"the sizes cannot vary as asked, which is accepted: {', '.join(fixed)}")
        return described


def export(subject: Subject, run: Run, *, allow_fixed: bool, note: Note) -> Sized:
    """Trace the module of `run` and describe the graph. Raises WorkerError."""
    try:
        return _sized(subject, run, allow_fixed=allow_fixed, note=note)
    except WorkerError as error:
        if not (allow_fixed and error.kind == "model") or subject.dynamic_shapes is None:
            raise
        note(f"{error}; all sizes are fixed, which is accepted")
        subject.dynamic_shapes = None
        return _sized(subject, run, allow_fixed=allow_fixed, note=note)


def _sized(subject: Subject, run: Run, *, allow_fixed: bool, note: Note) -> Sized:
    try:
        program = tracing.export_program(subject, run, allow_fixed=allow_fixed, note=note)
        written = signature.written_by(program, subject.path)
    except WorkerError as error:
        if error.kind != "model":
            _refuse_lost(run.changes.assigned)
        raise
    _refuse_lost(_lost(run, written))
    _refuse_old(signature.returned_buffers(program), run)
    _refuse_unrepeated(run)
    _refuse_nothing(run, written)
    shape_env = guards.environment(program)
    exported = 0 if shape_env is None else len(shape_env.guards)
    if shape_env is not None:
        least_sizes.leave_out(program, guards.demands(shape_env, exported), note)
    described = _describe(program, subject, run, written, shape_env, exported)
    return Sized(program, subject, run, written, shape_env, exported, described)


def _lost(run: Run, written: Written) -> list[str]:
    """Buffers that a call assigns, and the graph does not."""
    carried = {name.removeprefix(f"{RENAMED}.") for name in written.buffers}
    # torch.export takes what is assigned where there was None for the input that it was made from.
    made = run.changes.made if written.inputs else []
    return [name for name in [*run.changes.assigned, *made] if name not in carried]


def _refuse_lost(lost: list[str]) -> None:
    """Raise WorkerError for a state that would begin anew in every call."""
    if lost:
        raise WorkerError(
            f"the module assigns its buffer {lost[0]} anew in a call, which torch.export does not carry on",
            meaning="the package would have the buffer's first value for ever",
            fix=f"keep its size, and write into it: self.{lost[0].split('.')[-1]}.copy_(...), not an assignment",
            kind="usage",
        )


def _refuse_old(returned: list[str], run: Run) -> None:
    """Raise WorkerError for an output that is a buffer before it is assigned anew: the graph has the new one."""
    old = [name for name in returned if name.removeprefix(f"{RENAMED}.") in run.changes.assigned]
    if old:
        name = old[0].split(".")[-1]
        raise WorkerError(
            f"the module returns its buffer {name} as it was before it assigns another one",
            meaning="torch.export writes the new value into the buffer itself, and so into what is returned",
            fix=f"return a copy: self.{name}.clone(), made before the assignment",
            kind="usage",
        )


def _refuse_unrepeated(run: Run) -> None:
    """Raise WorkerError for a module whose second call gives something else, for a reason that no graph has."""
    if run.repeats:
        return
    if run.changes.attributes:
        raise WorkerError(
            f"the module gives another result in its second call: the first changes {run.changes.attributes[0]}",
            meaning="a package carries a state in buffers alone, and would answer each call as the first one",
            fix="keep it in a buffer of one size, and write into that: self.register_buffer(...), self.NAME.copy_(...)",
            kind="usage",
        )
    raise WorkerError(
        "the module gives another result in its second call with the same inputs",
        meaning="something beside its inputs and buffers decides, such as random numbers of Python or NumPy, a clock, "
        "or an object that a call changes; the package would have its first value for ever",
        fix="draw random numbers with torch, keep a state in buffers, and let all else be an input",
        kind="usage",
    )


def _refuse_nothing(run: Run, written: Written) -> None:
    """Raise WorkerError for a module that neither returns a tensor nor writes into one."""
    if run.outputs or written.inputs or written.buffers:
        return
    (path, value), *_ = [*run.others, ((), ())]
    returned = "nothing" if isinstance(value, tuple) else repr(value) if is_told(value) else naming.a(value)
    raise WorkerError(
        f"the module returns no tensor: {naming.output_names([path])[0]} is {returned}",
        meaning="outputs of a bundle are tensors in tuples, lists, dicts, dataclasses or what is registered with "
        "torch.utils._pytree",
        fix="return a tensor, a tuple or a dict of tensors",
        kind="usage",
    )


def _describe(program: Any, subject: Subject, run: Run, written: Written, shape_env: Any, exported: int) -> Signature:
    demands = [] if shape_env is None else guards.demands(shape_env, exported)
    return signature.describe(program, subject, run, written, demands)
