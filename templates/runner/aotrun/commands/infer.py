"""`aotrun infer`: files in, outputs to a file or to standard output; or lines of JSON in and out."""

from __future__ import annotations

import os
import sys

from aotrun.commands.session import open_model, read_inputs
from aotrun.errors import AotError, UsageError, printable
from aotrun.formats.files import check_output, write, write_stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

    from aotrun.library.model import Model, Result


def main(values: Dict[str, Any]) -> int:
    """Run the command; returns the exit code."""
    output = values["output"] if values["output"] != "-" else None
    if values["stream"] and (values["input"] or output is not None or values["format"] != "json"):
        raise UsageError(
            "--stream takes neither --input nor --output nor another --format",
            "It reads lines of JSON from standard input and writes lines of JSON to standard output.",
            "Leave them out: aotrun infer --stream < inputs.jsonl > outputs.jsonl",
        )
    model = open_model(values)
    if values["stream"]:
        return _stream(model, cast=values["cast"])
    if output is not None:
        check_output(output, len(model.outputs))
    elif values["format"] == "npy":
        check_output("-.npy", len(model.outputs))
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
    elif values["format"] == "json":
        from aotrun.formats.documents import SCHEMA

        print(_document(result, {"schema": SCHEMA, "model": os.path.basename(model.path)}))
    else:
        write_stream(sys.stdout.buffer, values["format"], list(result.outputs.items()))
    return 0


def _document(result: Result, about: Dict[str, Any]) -> str:
    from aotrun.formats.documents import dumps, form

    outputs = {name: form(tensor.dtype, tensor.shape, tensor.flat()) for name, tensor in result.outputs.items()}
    return dumps({**about, "latency_ms": result.latency_ms, "outputs": outputs})


def _stream(model: Model, *, cast: bool) -> int:
    """A line of outputs for each line of inputs, or of what is wrong with it; the exit code of the first that failed.

    A model with a state goes on from line to line, and begins with the state of its export.
    """
    from aotrun.commands.session import inputs_of
    from aotrun.formats.documents import dumps, read_arrays

    runs = model.session() if model.description.get("state") else model
    code = 0
    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        try:
            arrays = inputs_of(read_arrays(line, f"line {number}"), model.inputs, f"line {number}", cast=cast)
            text = _document(runs.run(*arrays), {})
        except AotError as error:
            code = code or error.exit_code
            text = dumps({"line": number, "error": list(error.lines)})
        print(text, flush=True)
    return code
