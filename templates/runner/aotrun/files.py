"""Input and output files of the command line: what is in them decides, not what they are called."""

from __future__ import annotations

import io
import os
import sys

from aotrun.errors import AotError, UsageError
from aotrun.npy import MAGIC, ZIP_MAGIC, NpzWriter, npy_header, read_npy, read_npz

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Dict, Sequence, Tuple, Union

    from aotrun.arrays import Array
    from aotrun.documents import Untyped
    from aotrun.tensor import Tensor

    Content = Union[Array, Untyped]

#: What `--output` can end in.
SUFFIXES = (".npy", ".npz", ".json")


def read(path: str) -> Union[Content, Dict[str, Content]]:
    """The array of a .npy or JSON file, or the named arrays of a .npz or JSON file; `-` is standard input."""
    try:
        if path == "-":
            return _read(io.BytesIO(sys.stdin.buffer.read()), "standard input")
        with open(path, "rb") as stream:
            if not stream.seekable():  # a pipe such as /dev/stdin or a shell's <(...)
                return _read(io.BytesIO(stream.read()), path)
            return _read(stream, path)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror or error}", "The input cannot be read.", "Check the path and its permissions."
        ) from None
    except MemoryError:
        raise UsageError(
            f"{path}: does not fit into memory", "The array is larger than what is free.", "Give a smaller input."
        ) from None


def _read(stream: BinaryIO, origin: str) -> Union[Content, Dict[str, Content]]:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    magic = stream.read(len(MAGIC))
    stream.seek(0)
    if magic.startswith(MAGIC):
        return read_npy(stream, size, origin)
    if magic.startswith(ZIP_MAGIC):
        arrays: Dict[str, Content] = {**read_npz(stream, origin)}
        return arrays
    from aotrun.documents import read_arrays

    return read_arrays(stream.read(), origin)


def check_output(path: str, outputs: int) -> None:
    """Refuse an output file that could not be written, before the model runs. Raises UsageError."""
    if not path.endswith(SUFFIXES):
        raise UsageError(
            f"--output {path}", "Its ending names no format.", f"End it with one of {', '.join(SUFFIXES)}."
        )
    if path.endswith(".npy") and outputs != 1:
        raise UsageError(
            f"--output {path}: the model has {outputs} outputs",
            "A .npy file holds one array.",
            f"Write --output {path[:-4]}.npz.",
        )
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise UsageError(f"--output {path}: no folder {folder}", "It is not made for you.", f"mkdir -p {folder}")


def write(path: str, outputs: Sequence[Tuple[str, Tensor]]) -> None:
    """Write named outputs; an older file stays until the new one is whole. Raises AotError when the disk refuses."""
    # A device or a pipe cannot be replaced by renaming.
    special = os.path.exists(path) and not os.path.isfile(path)
    temporary = path if special else f"{path}.{os.getpid()}.part"
    try:
        with open(temporary, "wb") as stream:
            _write(stream, path, outputs)
        if not special:
            os.replace(temporary, path)
    except OSError as error:
        if not special and os.path.exists(temporary):
            os.unlink(temporary)
        raise AotError(
            f"{path}: {error.strerror or error}",
            "The outputs could not be written; nothing was left behind.",
            "Name another --output, or leave it out to get JSON on standard output.",
        ) from None


def _write(stream: io.BufferedIOBase, path: str, outputs: Sequence[Tuple[str, Tensor]]) -> None:
    if path.endswith(".npy"):
        tensor = outputs[0][1]
        stream.write(npy_header(tensor.dtype, tensor.shape))
        stream.write(tensor.contiguous())
    elif path.endswith(".npz"):
        archive = NpzWriter(stream)
        for name, tensor in outputs:
            archive.add(name, tensor.dtype, tensor.shape, tensor.contiguous())
        archive.close()
    else:
        from aotrun.documents import dumps, form

        forms = {name: form(tensor.dtype, tensor.shape, tensor.flat()) for name, tensor in outputs}
        document = next(iter(forms.values())) if len(forms) == 1 else forms
        stream.write((dumps(document) + "\n").encode("utf-8"))
