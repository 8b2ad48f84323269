"""The compiled forms of one program: for which CPUs, that they agree with each other, and which of them pay."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch._inductor
from torch._inductor.package import package_aoti

from ..code import compiling, reproducible
from ..code.compiling import Compiled
from ..eager.nesting import tensors
from ..failure import WorkerError
from ..graph.guards import Guard
from ..graph.signature import Signature
from ..graph.sizing import Sized
from ..subject import Subject
from . import constants, shared_weights, side_by_side, this_cpu

#: A variant whose call takes more than this part of a less demanding one's is not worth its place.
WORTH = 0.95
#: With more bytes of weights, to load all variants takes longer than leaving one of them out is worth.
_LARGEST_TIMED = 64_000_000
#: Rounds of one call of each, and seconds after which there are no more.
_ROUNDS = 200
_SECONDS = 2.0
_WARM_UP = 3


@dataclass
class Variant:
    """One compiled form."""

    name: str
    compiled: Compiled
    #: Which of the model's constants its code has; None for all.
    constants: list[int] | None = None


@dataclass
class Variants:
    """All forms of a program, the least demanding first."""

    members: list[Variant]
    signature: Signature
    #: What `aotpack.package.metadata.ModelMetadata` says of their weights; see `share_weights`.
    weights: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """Those of the least demanding one, as torch packages them."""
        return self.members[0].compiled.files

    @property
    def others(self) -> list[Variant]:
        """All but the least demanding one."""
        return self.members[1:]


Note = Callable[[str], None]


def compile_all(names: Sequence[str], sized: Sized, request: Mapping[str, Any], *, note: Note, phase: Note) -> Variants:
    """Compile a program for each of some instruction sets (`isas.chosen`). Raises WorkerError."""
    folder = Path(request["workspace"])
    if len(names) == 1:
        with reproducible.one_thread():
            compiled = _compile(names[0], sized, request, folder, shares_weights=False)
        signature = sized.after_compilation(allow_fixed=request["allow_fixed"], note=note)
        return Variants([Variant(names[0], compiled)], signature)

    def task(name: str) -> Callable[[Path], dict[str, Any]]:
        def work(place: Path) -> dict[str, Any]:
            notes: list[str] = []
            compiled = _compile(name, sized, request, place, shares_weights=True)
            signature = sized.after_compilation(allow_fixed=request["allow_fixed"], note=notes.append)
            return {
                "compiled": dataclasses.asdict(compiled),
                "inputs": signature.inputs,
                "outputs": signature.outputs,
                "guards": [[guard.that, guard.text] for guard in signature.guards],
                "notes": notes,
            }

        return work

    def finished(left: Sequence[str]) -> None:
        if left:
            phase(f"compiling with AOTInductor, {len(names) - len(left)} of {len(names)} done, still {', '.join(left)}")

    weights = sum(tensor.numel() * tensor.element_size() for tensor in sized.program.state_dict.values())
    with reproducible.one_thread():
        answers = side_by_side.run(
            {name: task(name) for name in names},
            folder,
            at_once=side_by_side.most_at_once(weights),
            finished=finished,
        )
    for text in dict.fromkeys(text for answer in answers.values() for text in answer["notes"]):
        note(text)
    signature = _common_signature(sized, answers)
    return Variants([Variant(name, Compiled(**answer["compiled"])) for name, answer in answers.items()], signature)


def _compile(name: str, sized: Sized, request: Mapping[str, Any], place: Path, *, shares_weights: bool) -> Compiled:
    return compiling.compile_program(
        sized.program,
        sized.subject.path,
        request["constants"],
        name,
        place,
        changes=sized.changes,
        shares_weights=shares_weights,
        archs=request["archs"],
    )


def _common_signature(sized: Sized, answers: Mapping[str, Mapping[str, Any]]) -> Signature:
    """That of all variants: what guards one of them has hold for the model."""
    first_name, first = next(iter(answers.items()))
    guards: dict[str, Guard] = {}
    for name, answer in answers.items():
        for that, text in answer["guards"]:
            guards.setdefault(text, Guard(that, text))
        if (answer["inputs"], answer["outputs"]) != (first["inputs"], first["outputs"]):
            raise WorkerError(
                f"compiled for {name}, the model takes or returns other sizes than for {first_name}",
                meaning="AOTInductor took sizes for constants in one of them, and the variants of a model must agree",
                fix="export for one instruction set: --cpu-isa avx2",
                kind="model",
            )
    return dataclasses.replace(
        sized.described, inputs=first["inputs"], outputs=first["outputs"], guards=list(guards.values())
    )


def share_weights(variants: Variants, note: Note) -> Variants:
    """Put the weights of all variants into the first one's file, and describe them. Leaves out who cannot share."""
    members = variants.members
    described = [
        constants.describe(member.compiled.wrapper, member.compiled.linear_rows, member.compiled.convolutions)
        for member in members
    ]
    kept, kept_described = members[:1], described[:1]
    for member, one in zip(members[1:], described[1:], strict=True):
        if member.compiled.extern_kernels != members[0].compiled.extern_kernels:
            note(f"the variant {member.name} is left out: its ops without a C shim differ from {members[0].name}'s")
        elif (not one or not described[0]) and members[0].compiled.blob is not None:
            note(f"the variant {member.name} is left out: its weights cannot be used where they lie")
        else:
            kept.append(member)
            kept_described.append(one)
    weights, chosen = shared_weights.merge(kept_described, [member.compiled.blob for member in kept])
    if weights.get("layouts"):
        weights["packed_on"] = torch.backends.cpu.get_cpu_capability()
    for member, own in zip(kept, chosen, strict=True):
        member.constants = own
    return Variants(kept, variants.signature, weights)


def runs_here(member: Variant) -> bool:
    """Whether this machine can run what the compiler made of a variant.

    Its name alone does not say: code for AVX-512 may use VNNI, which not every CPU with AVX-512 has.
    """
    features = member.compiled.cpu_features
    if this_cpu.lacks(features):
        return False
    return "amx_tile" not in features or bool(torch.cpu._init_amx())


def packages(variants: Variants, folder: Path) -> dict[str, str]:
    """A package of each variant that runs here, as torch loads them: for a look at it alone."""
    found = {}
    for member in variants.members:
        if runs_here(member):
            path = folder / f"{member.name}.pt2"
            found[member.name] = str(package_aoti(str(path), member.compiled.files))
    return found


def without_idle_ones(variants: Variants, subject: Subject, folder: Path, note: Note) -> Variants:
    """Leave out variants that are no faster here than a less demanding one, where that can be measured."""
    blob = variants.members[0].compiled.blob
    runnable = [member.name for member in variants.members if runs_here(member)]
    if len(runnable) < 2 or (blob is not None and blob.stat().st_size > _LARGEST_TIMED):
        return variants
    seconds = _measure(packages(variants, folder), subject)
    kept = [variants.members[0]]
    best = seconds.get(kept[0].name, float("inf"))
    for member in variants.others:
        own = seconds.get(member.name)
        if own is not None and own > best * WORTH:
            note(
                f"the variant {member.name} is left out: a call takes {own * 1e6:.1f} us here, "
                f"{best * 1e6:.1f} us without it (--cpu-isa {','.join(m.name for m in variants.members)} keeps it)"
            )
            continue
        best = best if own is None else min(best, own)
        kept.append(member)
    return dataclasses.replace(variants, members=kept)


def _measure(paths: Mapping[str, str], subject: Subject) -> dict[str, float]:
    """The best time of a call of each package, in seconds, with one thread, in turns."""
    inputs = tensors((subject.args, subject.kwargs))
    models = {name: torch._inductor.aoti_load_package(path) for name, path in paths.items()}
    best = dict.fromkeys(paths, float("inf"))
    begun = time.perf_counter()
    with reproducible.one_thread(), torch.no_grad():
        for number in range(_ROUNDS + _WARM_UP):
            for name, model in models.items():
                given = copy.deepcopy(inputs)  # a call may write into them
                start = time.perf_counter()
                model.loader.boxed_run(given)
                if number >= _WARM_UP:
                    best[name] = min(best[name], time.perf_counter() - start)
            if number > _WARM_UP and time.perf_counter() - begun > _SECONDS:
                break
    return best
