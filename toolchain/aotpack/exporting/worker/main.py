"""The conversation with `aotpack.exporting.driving`: one JSON document a line, requests on stdin, events on stdout.

1. in:  the request (the fields of `aotpack.exporting.driving.ExportRequest`)
2. out: any number of `phase`, `note` and `trying` events; the last names the sizes that are run next
3. out: `compiled`, with what is known about the model now that its code exists, and the libraries of its variants
4. in:  the metadata to put into the package, which only the toolchain can complete (it reads the ELF file)
5. out: `done`, with the comparison against eager PyTorch, or at any time `error`
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import asker, importing
from .failure import WorkerError, no_space, unforeseen

if TYPE_CHECKING:
    from .subject import Subject


def main() -> None:
    """Answer one request. Exit status 0 unless the process itself breaks down; failures are events."""
    # What torch, compilers and the user's file print must not get between the events, nor may they read requests.
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    asker.end_with(requests.fileno())
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)

    def send(event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), file=events, flush=True)

    export = Export(send)
    try:
        export.run(json.loads(requests.readline()), requests.readline)
    except BaseException as error:  # noqa: BLE001
        print(json.dumps(export.failure(error).document()), file=events, flush=True)
    # torch's atexit handlers take a second and have nothing left to do.
    sys.stderr.flush()
    os._exit(0)


class Export:
    """One request, and how far it has come.

    Args:
        send: takes the name of an event and its fields.
        load: makes the subject of the request; by default from the file or module that it names.
    """

    def __init__(self, send: Callable[..., None], load: Callable[[dict[str, Any]], Subject] | None = None) -> None:
        self._send = send
        self._load = load
        #: What it is at, for the failure that nobody foresaw.
        self.doing = "starting"
        #: The user's.
        self.file: Path | None = None
        self._stack = contextlib.ExitStack()

    def _begin(self, text: str) -> None:
        self.doing = text
        self._send("phase", text=text)

    def _note(self, text: str) -> None:
        self._send("note", text=text)

    def _note_each(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._note(text)

    def failure(self, error: BaseException) -> WorkerError:
        """What a user is told of whatever `run` raised."""
        if isinstance(error, WorkerError):
            return error
        traceback.print_exception(error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return no_space(getattr(error, "filename", None) or tempfile.gettempdir())
        return unforeseen(error, self.doing, self.file)

    def run(self, request: dict[str, Any], read: Callable[[], str]) -> None:
        """From the request to `done`. Raises WorkerError, and whatever torch and the user's code raise."""
        self.file = None if request["file"] is None else Path(request["file"])
        with self._stack:
            self._run(request, read)

    def _run(self, request: dict[str, Any], read: Callable[[], str]) -> None:
        named = request["module"] if self.file is None else self.file.name
        self._begin(f"preparing {named}" if self._load else f"importing torch and {named}")
        torch_version = importing.import_torch()
        from . import options, packing, reading, verifying
        from .code import compiling, isas, reproducible
        from .eager import randomness, running, state
        from .gpu import targets
        from .graph import pooling, sizing
        from .sources import loading
        from .variants import forms

        self._stack.enter_context(pooling.lengths_vary())
        options.ask(request["options"])
        watch = None if self._load else reading.Watch()
        subject = (self._load or loading.load)(request)
        self.file = subject.path
        self._note_each(subject.notes)
        request = {**request, "archs": targets.wanted(request["archs"])}

        self._begin("exporting the graph")
        with reproducible.one_thread():
            expected = running.run_eager(subject, subject.args, subject.kwargs)
        read_by_it = {} if watch is None else watch.stop()
        sized = sizing.export(subject, expected, allow_fixed=request["allow_fixed"], note=self._note)
        self._note_each(sized.described.notes)
        calls = verifying.CALLS if sized.changes else 1
        randomness.mark(sized.program, subject, expected, sized.described.outputs, self._note, calls=calls)

        names, why = isas.chosen(request["cpu_isa"], sized.program, on_cpu=compiling.is_on_cpu(sized.program))
        int4_order = isas.int4_order(sized.program)
        self._note_each(filter(None, (why, isas.bound_to_one(int4_order))))
        several = f" for {', '.join(names)}" if len(names) > 1 else ""
        self._begin(f"compiling with AOTInductor{several}")
        measured: list[str] = []
        # Inductor runs what it takes for constant, in the module's own memory: `self.a.copy_(self.b)`.
        with state.kept(subject.module) if sized.changes else contextlib.nullcontext():
            made = forms.compile_all(names, sized, request, note=self._note, phase=self._begin)
        if request["cpu_isa"] == isas.PORTABLE and len(made.members) > 1:
            self._begin("measuring which variants pay")
            made = forms.without_idle_ones(made, subject, Path(request["workspace"]), measured.append)
        made = forms.share_weights(made, self._note)
        described = made.signature
        first = made.members[0].compiled
        self._note_each(first.precision_notes)
        self._send(
            "compiled",
            variants=[
                {
                    "name": member.name,
                    "model_so": member.compiled.model_so,
                    "cpu_features": member.compiled.cpu_features,
                    "constants": member.constants,
                }
                for member in made.members
            ],
            kernels=first.kernels,
            metadata={
                "inputs": described.inputs,
                "outputs": described.outputs,
                "guards": [{"that": guard.that, "text": guard.text} for guard in described.guards],
                "device": first.backend,
                "torch_version": torch_version,
                "compiler": first.compiler,
                "gpu_archs": first.gpu_archs,
                "frozen": first.frozen,
                "precision": first.precision,
                "int4_order": int4_order,
                "state": list(sized.changes),
                **made.weights,
            },
        )
        self._note_each(measured)  # once the description is made: times of this run are no part of the package
        document = read().rstrip("\n")

        sample = packing.sample(described, expected) if request["sample"] else None
        if request["sample"] and sample is None:
            self._note("the example inputs and outputs are over 1 MB, so the package carries no sample")
        others = {packing.library_of(member.name): member.compiled.model_so for member in made.others}
        packing.write(request["output"], made.files, document, sample, others)

        comparisons = self._comparisons(
            made,
            subject,
            described,
            request,
            random=expected.random,
            values_decide=compiling.sizes_follow_from_values(sized.program),
        )
        self._send("done", comparisons=comparisons, **read_by_it)

    def _comparisons(
        self, made: Any, subject: Any, described: Any, request: dict[str, Any], *, random: Any, values_decide: bool
    ) -> list[dict[str, Any]]:
        """With eager PyTorch, and with another module, where that is asked for. Raises WorkerError."""
        from . import verifying
        from .sources import loading

        comparisons: list[dict[str, Any]] = []
        if request["verify"] or random.draws:  # a seed within the module is in no graph
            self._begin("verifying against eager PyTorch")
            for label, package in self._to_verify(made, request).items():
                verifier = verifying.Verifier(
                    package,
                    subject,
                    described,
                    verifying.tolerances_of(request["closeness"], made.members[0].compiled.precision),
                    lambda text: self._send("trying", text=text),
                    random=random,
                    values_decide=values_decide,
                )
                found = verifier.compare(once=not request["verify"])
                if request["verify"]:
                    comparisons += [{**entry, "sizes": f"{label}{entry['sizes']}"} for entry in found]
        if request["against"]:
            file, module, function = request["against"]
            self._begin(f"comparing with {function}")
            other = loading.load({**request, "file": file or None, "module": module, "function": function})
            for package in list(self._to_verify(made, request).values())[:1]:
                comparisons += verifying.distances(package, subject, described, other, function)
        return comparisons

    def _to_verify(self, made: Any, request: dict[str, Any]) -> dict[str, str]:
        """The package, or one of each variant that this machine can run, by what to call it."""
        from .gpu import targets
        from .variants import forms

        if not targets.run_here(request["archs"]):
            self._note(f"not verified, since this machine's GPU, {targets.own()}, is older than its code")
            return {}
        if not made.others:
            return {"": request["output"]}

        found = forms.packages(made, Path(request["workspace"]))
        unproven = [member.name for member in made.members if member.name not in found]
        if unproven:
            self._note(f"not verified, since this machine cannot run it: {', '.join(unproven)}")
        return {f"{name}: ": path for name, path in found.items()}
