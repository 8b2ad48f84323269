"""`python -m aot_app INPUT.npy...`: run the bundle's model on files and print what comes out."""

from __future__ import annotations

import os
import sys

from aot_app.bundle import bundle_path, use_runner
from aot_app.predictor import Predictor

_USAGE = """\
usage: python -m aot_app [--model NAME] [--device cpu|cuda[:N]|rocm[:N]] INPUT.npy...
one .npy file per input, in the model's order; the bundle is the folder `bundle`, or AOT_BUNDLE"""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, else that of the error's class."""
    paths: list[str] = []
    options: dict[str, str] = {}
    rest = iter(sys.argv[1:] if arguments is None else arguments)  # the bundle's own interpreter has no argparse
    for argument in rest:
        value = next(rest, None) if argument in ("--model", "--device") else None
        if value is not None:
            options[argument[2:]] = value
        elif argument.startswith("-"):
            print(_USAGE, file=sys.stderr)
            return 0 if argument in ("-h", "--help") else 2
        else:
            paths.append(argument)
    if not paths:
        print(_USAGE, file=sys.stderr)
        return 2
    try:
        use_runner(bundle_path())
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    from aotrun import AotError, Tensor, UsageError
    from aotrun.formats.npy import read_npy

    try:
        arrays = []
        for path in paths:
            try:
                with open(path, "rb") as stream:
                    arrays.append(read_npy(stream, os.fstat(stream.fileno()).st_size, path))
            except OSError as error:
                raise UsageError(f"{path}: {error.strerror}", "An input cannot be read.", "Check the path.") from None
        predictor = Predictor(model=options.get("model"), device=options.get("device"))
        result = predictor.model.run(*arrays)
    except AotError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code

    name: str
    tensor: Tensor
    for name, tensor in result.outputs.items():
        values = tensor.flat()
        more = ", ..." if len(values) > 8 else ""
        print(f"{name}: {tensor.dtype.name}{list(tensor.shape)} = {', '.join(map(str, values[:8]))}{more}")
    print(f"{result.latency_ms:.3f} ms", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
