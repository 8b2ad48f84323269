"""Input and output files of the command line: what is in them decides, not what they are called."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the signal module is not among what travels
import os
import stat

from aotrun.errors import AotError, UsageError
from aotrun.formats.npy import MAGIC, ZIP_MAGIC, NpzWriter, npy_header, read_npy, read_npz
from aotrun.formats.opening import create_beside, kind, open_input, open_pipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Dict, NoReturn, Optional, Sequence, Tuple, Union

    from aotrun.arrays.array import Array, Elements
    from aotrun.formats.documents import Untyped
    from aotrun.formats.npy import Choice
    from aotrun.formats.wav import Sound

    Content = Union[Array, Untyped, Sound]

#: What `--output` can end in.
SUFFIXES = (".npy", ".npz", ".json")
#: What ends a process from outside, beside Ctrl-C: a terminal that closes, Ctrl-\\, and whoever asks.
_ENDINGS = (_signal.SIGHUP, _signal.SIGQUIT, _signal.SIGTERM)


def read(path: str, choose: Optional[Choice] = None) -> Union[Content, Dict[str, Content]]:
    """The array of a .npy, JSON or .wav file, or the named arrays of a .npz or JSON file; `-` is standard input.

    `choose` is asked before any of several arrays is read. Raises UsageError.
    """
    origin = "standard input" if path == "-" else path
    try:
        with open_input(path) as stream:
            return _read(stream, origin, choose)
    except OSError as error:
        raise UsageError(
            f"{origin}: {error.strerror or error}", "The input cannot be read.", "Check the path and its permissions."
        ) from None
    except MemoryError:
        raise UsageError(
            f"{origin}: does not fit into memory", "The array is larger than what is free.", "Give a smaller input."
        ) from None


def _read(stream: BinaryIO, origin: str, choose: Optional[Choice]) -> Union[Content, Dict[str, Content]]:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    magic = stream.read(len(MAGIC))
    stream.seek(0)
    if magic.startswith(MAGIC):
        return read_npy(stream, size, origin)
    if magic.startswith(ZIP_MAGIC):
        arrays: Dict[str, Content] = {**read_npz(stream, origin, choose)}
        return arrays
    text = stream.read()
    from aotrun.formats import wav

    if wav.is_sound(text[:12]):
        return wav.read_wav(text, origin)
    from aotrun.formats.documents import read_arrays

    content = read_arrays(text, origin)
    if not isinstance(content, dict):
        return content
    if choose is not None:
        choose(list(content))
    return {**content}


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
    mode = os.lstat(path).st_mode if os.path.lexists(path) else 0
    if mode and not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISFIFO(mode)):
        raise UsageError(
            f"--output {path}: is {kind(mode)}", "Outputs go to a file, or into a FIFO.", "Name another --output."
        )


def write(path: str, outputs: Sequence[Tuple[str, Elements]]) -> None:
    """Write named outputs; an older file, or a link, stays until the new one is whole and takes its place.
    Raises AotError when the disk refuses."""
    try:
        if os.path.lexists(path) and stat.S_ISFIFO(os.lstat(path).st_mode):
            with open_pipe(path) as stream:
                _write(stream, path, outputs)
        else:
            _write_new(path, outputs)
    except OSError as error:
        raise AotError(
            f"{path}: {error.strerror or error}",
            "The outputs could not be written; nothing was left behind.",
            "Name another --output, or leave it out to get JSON on standard output.",
        ) from None


def write_stream(stream: BinaryIO, form: str, outputs: Sequence[Tuple[str, Elements]]) -> None:
    """Write named outputs as `npy` or `npz` into a stream that cannot seek."""
    import io

    content = io.BytesIO()
    _write(content, f".{form}", outputs)
    stream.write(content.getbuffer())
    stream.flush()


def _write_new(path: str, outputs: Sequence[Tuple[str, Elements]]) -> None:
    # Only here: elsewhere there is nothing to clear up, and the system's own way to end is the quickest.
    before = [(number, _signal.signal(number, _end)) for number in _ENDINGS if _is_default(number)]
    temporary = None
    try:
        stream, temporary = create_beside(path)
        with stream:
            _write(stream, path, outputs)
        os.replace(temporary, path)
    except BaseException:
        if temporary is not None and os.path.lexists(temporary):
            os.unlink(temporary)
        raise
    finally:
        for number, handler in before:
            _signal.signal(number, handler)


def _is_default(number: int) -> bool:
    return bool(_signal.getsignal(number) == _signal.SIG_DFL)


def _end(number: int, _frame: Any) -> NoReturn:
    raise SystemExit(128 + number)


def _write(stream: BinaryIO, path: str, outputs: Sequence[Tuple[str, Elements]]) -> None:
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
        from aotrun.formats.documents import dumps, form

        forms = {name: form(tensor.dtype, tensor.shape, tensor.flat()) for name, tensor in outputs}
        document = next(iter(forms.values())) if len(forms) == 1 else forms
        stream.write((dumps(document) + "\n").encode("utf-8"))
