"""The conversation with `aotpack.exporting.driving`: one JSON document a line, requests on stdin, events on stdout.

1. in:  the request (the fields of `aotpack.exporting.driving.ExportRequest`)
2. out: any number of `phase`, `note` and `trying` events; the last names the sizes that are run next
3. out: `compiled`, with what is known about the model now that its code exists
4. in:  the metadata to put into the package, which only the toolchain can complete (it reads the ELF file)
5. out: `done`, with the comparison against eager PyTorch, or at any time `error`
"""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from .failure import WorkerError, no_space, unforeseen


def main() -> None:
    """Answer one request. Exit status 0 unless the process itself breaks down; failures are events."""
    # What torch, compilers and the user's file print must not get between the events, nor may they read requests.
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)

    def send(event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), file=events, flush=True)

    failure: WorkerError | None = None
    export = _Export(send)
    try:
        export.run(json.loads(requests.readline()), requests.readline)
    except WorkerError as error:
        failure = error
    except BaseException as error:  # noqa: BLE001
        traceback.print_exc()
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        failure = (
            no_space(getattr(error, "filename", None) or tempfile.gettempdir())
            if full
            else unforeseen(error, export.doing, export.file)
        )
    if failure is not None:
        print(json.dumps(failure.document()), file=events, flush=True)
    # torch's atexit handlers take a second and have nothing left to do.
    sys.stderr.flush()
    os._exit(0)


class _Export:
    """One request, and how far it has come."""

    def __init__(self, send: Any) -> None:
        self._send = send
        #: What it is at, for the failure that nobody foresaw.
        self.doing = "starting"
        #: The user's.
        self.file: Path | None = None

    def _begin(self, text: str) -> None:
        self.doing = text
        self._send("phase", text=text)

    def _note(self, text: str) -> None:
        self._send("note", text=text)

    def run(self, request: dict[str, Any], read: Any) -> None:
        """From the request to `done`. Raises WorkerError, and whatever torch and the user's code raise."""
        self.file = Path(request["file"])
        self._begin(f"importing torch and {self.file.name}")
        from . import source

        torch_version = source.import_torch()
        from . import packing, running, verifying
        from .code import compiling, constants, reproducible
        from .graph import sizing

        subject = source.load(self.file, request["function"], request["device"])
        for note in subject.notes:
            self._note(note)

        self._begin("exporting the graph")
        with reproducible.one_thread():
            expected = running.run_eager(subject, subject.args, subject.kwargs)
        sized = sizing.export(subject, expected, allow_fixed=request["allow_fixed"], note=self._note)
        for note in sized.described.notes:
            self._note(note)

        self._begin("compiling with AOTInductor")
        with reproducible.one_thread():
            compiled = compiling.compile_program(
                sized.program,
                subject.path,
                request["constants"],
                request["cpu_isa"],
                Path(request["workspace"]),
                changes=sized.changes,
            )
        described = sized.after_compilation(allow_fixed=request["allow_fixed"], note=self._note)
        self._send(
            "compiled",
            model_so=compiled.model_so,
            metadata={
                "inputs": described.inputs,
                "outputs": described.outputs,
                "guards": [{"that": guard.that, "text": guard.text} for guard in described.guards],
                "device": compiled.backend,
                "torch_version": torch_version,
                "compiler": compiled.compiler,
                "cpu_features": compiled.cpu_features,
                "gpu_archs": compiled.gpu_archs,
                "frozen": compiled.frozen,
                **constants.describe(compiled.wrapper, compiled.linear_rows),
            },
        )
        document = read().rstrip("\n")

        sample = packing.sample(described, expected) if request["sample"] else None
        if request["sample"] and sample is None:
            self._note("the example inputs and outputs are over 1 MB, so the package carries no sample")
        packing.write(request["output"], compiled.files, document, sample)

        comparisons: list[dict[str, Any]] = []
        if request["verify"]:
            self._begin("verifying against eager PyTorch")
            verifier = verifying.Verifier(
                request["output"],
                subject,
                described,
                request["tolerances"],
                lambda text: self._send("trying", text=text),
            )
            comparisons = verifier.compare()
        self._send("done", comparisons=comparisons)
