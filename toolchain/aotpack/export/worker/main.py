"""The conversation with `aotpack.export.driving`: one JSON document a line, requests on stdin, events on stdout.

1. in:  the request (the fields of `aotpack.export.driving.ExportRequest`)
2. out: any number of `phase` and `note` events
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

from .failure import WorkerError, no_space


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

    try:
        _export(json.loads(requests.readline()), requests.readline, send)
    except WorkerError as failure:
        print(json.dumps(failure.document()), file=events, flush=True)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        full = no_space(error.filename or tempfile.gettempdir())
        print(json.dumps(full.document()), file=events, flush=True)
    except BaseException:  # noqa: BLE001
        # The toolchain shows the end of stderr when this process ends without an answer.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(70)
    # torch's atexit handlers take a second and have nothing left to do.
    sys.stderr.flush()
    os._exit(0)


def _export(request: dict[str, Any], read: Any, send: Any) -> None:
    send("phase", text=f"importing torch and {Path(request['file']).name}")
    from . import source

    torch_version = source.import_torch()
    from . import compiling, constants, packing, reproducible, running, signature, verifying

    subject = source.load(Path(request["file"]), request["function"], request["device"])
    for note in subject.notes:
        send("note", text=note)

    send("phase", text="exporting the graph")
    with reproducible.one_thread():
        expected = running.run_eager(subject, subject.args, subject.kwargs)
    program = compiling.export_program(subject, expected, lambda text: send("note", text=text))
    described = signature.describe(program, subject, expected)
    for note in described.notes:
        send("note", text=note)

    send("phase", text="compiling with AOTInductor")
    with reproducible.one_thread():
        compiled = compiling.compile_program(
            program, request["profile"], request["cpu_isa"], Path(request["workspace"])
        )
    send(
        "compiled",
        model_so=compiled.model_so,
        metadata={
            "inputs": described.inputs,
            "outputs": described.outputs,
            "device": compiled.backend,
            "torch_version": torch_version,
            "compiler": compiled.compiler,
            "cpu_features": compiled.cpu_features,
            "gpu_archs": compiled.gpu_archs,
            **constants.describe(compiled.wrapper, compiled.linear_rows),
        },
    )
    document = read().rstrip("\n")

    sample = packing.sample(described, expected) if request["sample"] else None
    if request["sample"] and sample is None:
        send("note", text="the example inputs and outputs are over 1 MB, so the package carries no sample")
    packing.write(request["output"], compiled.files, document, sample)

    comparisons: list[dict[str, Any]] = []
    if request["verify"]:
        send("phase", text="verifying against eager PyTorch")
        comparisons = verifying.verify(request["output"], subject, described, expected)
    send("done", comparisons=comparisons)
