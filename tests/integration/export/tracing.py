"""Runs under the backend's interpreter: what an export says of modules before anything is compiled, as JSON by name.

python tracing.py FOLDER_OF_WORKER FILE.py FUNCTION...
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

sys.path.insert(0, sys.argv[1])
from worker import failure
from worker.code import isas
from worker.eager import randomness, running
from worker.graph import pooling, sizing
from worker.sources import loading


def traced(file: str, function: str) -> dict[str, Any]:
    notes: list[str] = []
    try:
        request = {"device": "cpu", "function": function, "file": file}
        subject = loading.load(request)
        notes += subject.notes
        run = running.run_eager(subject, subject.args, subject.kwargs)
        sized = sizing.export(subject, run, allow_fixed=False, note=notes.append)
        described = sized.described
        randomness.mark(sized.program, subject, run, described.outputs, notes.append, calls=2)
    except failure.WorkerError as error:
        return error.document()
    return {
        "dims": [spec["dims"] for spec in described.inputs],
        "guards": [guard.text for guard in described.guards],
        "notes": notes,
        "weights": list(sized.program.state_dict),
        "draws": run.random.draws,
        "low_precision": sorted(isas.low_precision(sized.program)),
        "names": [spec["name"] for spec in [*described.inputs, *described.outputs]],
    }


sys.stdout, events = sys.stderr, os.fdopen(os.dup(1), "w")
with pooling.lengths_vary():
    json.dump({function: traced(sys.argv[2], function) for function in sys.argv[3:]}, events)
events.close()
