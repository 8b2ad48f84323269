"""`aotrun infer`: files in, outputs to a file or to standard output."""

from __future__ import annotations

import os
import sys

from aotrun.commands.session import open_model, read_inputs
from aotrun.errors import printable
from aotrun.formats.files import check_output, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict


def main(values: Dict[str, Any]) -> int:
    """Run the command; returns the exit code."""
    model = open_model(values)
    output = values["output"]
    if output is not None:
        check_output(output, len(model.outputs))
    arrays = read_inputs(values["input"], model.inputs, cast=values["cast"])
    result = model.run(*arrays)
    if output is not None:
        write(output, list(result.outputs.items()))
        if values["verbose"]:
            print(printable(f"{output}: {', '.join(result.outputs)} in {result.latency_ms:.3f} ms"), file=sys.stderr)
    elif values["format"] == "pretty":
        from aotrun.formats.pretty import show

        for name, tensor in result.outputs.items():
            print(show(name, tensor))
        if not values["quiet"]:
            print(printable(f"{os.path.basename(model.path)}: {result.latency_ms:.3f} ms"), file=sys.stderr)
    else:
        from aotrun.formats.documents import SCHEMA, dumps, form

        outputs = {name: form(tensor.dtype, tensor.shape, tensor.flat()) for name, tensor in result.outputs.items()}
        document = {"schema": SCHEMA, "model": os.path.basename(model.path), "latency_ms": result.latency_ms}
        print(dumps({**document, "outputs": outputs}))
    return 0
