"""What was recorded of a model at its export: inputs, and what eager PyTorch gave for them."""

from __future__ import annotations

import io
import os

from aotrun.arrays.array import Array
from aotrun.errors import DamagedError, UsageError
from aotrun.formats import bundle_files
from aotrun.formats.npy import read_npz
from aotrun.formats.opening import SpecialFileError, open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Dict, List, Mapping, Optional, Sequence

    from aotrun.arrays.dtypes import DType
    from aotrun.arrays.signature import Spec

#: Inside a model folder, or below `aotpack/` in a .pt2.
SAMPLE = "sample.npz"
#: Bytes; exporters record a megabyte at the most.
_LARGEST_SAMPLE = 1 << 26


def read_sample(path: str) -> Optional[Dict[str, Array]]:
    """The recorded inputs (`in.NAME`) and eager outputs (`out.NAME`) of a model; None when it has none."""
    if bundle_files.is_folder(path):
        sample = os.path.join(path, SAMPLE)
        if not bundle_files.exists(sample):
            return None
        with _opened(sample) as stream:
            return read_npz(stream, sample)
    from aotrun.formats.zipped import Archive, BadZipError

    try:
        with _opened(path) as stream:
            package = Archive(stream)
            entry = next((member for member in package.members if member.name.endswith(f"/aotpack/{SAMPLE}")), None)
            if entry is not None and entry.size > _LARGEST_SAMPLE:
                raise BadZipError(f"{entry.name} claims {entry.size} bytes")
            content = None if entry is None else package.read(entry)
    except BadZipError as error:
        raise UsageError(f"{path}: {error}", "It is not a whole .pt2 package.", "Export the model again.") from None
    return None if entry is None or content is None else read_npz(io.BytesIO(content), f"{path}[{entry.name}]")


def _opened(path: str) -> BinaryIO:
    """A file of a bundle or a package. Raises DamagedError when something else lies in its place, and OSError."""
    try:
        return open_regular(path)
    except SpecialFileError as error:
        raise DamagedError(
            f"{path}: {error.strerror}", "No tool of ours puts such a thing there.", "Copy the whole bundle again."
        ) from None


def sample_inputs(sample: Mapping[str, Array], specs: Sequence[Spec]) -> Optional[List[Array]]:
    """The recorded inputs in the model's order; None when they are not all there."""
    if any(f"in.{spec.name}" not in sample for spec in specs):
        return None
    return [recorded(sample[f"in.{spec.name}"], spec.dtype) for spec in specs]


def recorded(array: Array, dtype: Optional[DType]) -> Array:
    """A recorded array of the model's type: a sample holds bfloat16 as uint16, the bits that any NumPy can write."""
    if dtype is not None and (dtype.name, array.dtype.name) == ("bfloat16", "uint16"):
        return Array(dtype, array.shape, array.data, array.strides)
    return array
