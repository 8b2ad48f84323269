"""The .pt2 archive: torch's own writer, our metadata in AOTInductor's, and a recorded sample."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._inductor.package import package_aoti

from .eager.running import Run
from .graph.signature import Signature

#: A sample larger than this is not worth carrying.
SAMPLE_LIMIT = 1_000_000
#: Not under `extra/`, where torch.export.pt2_archive expects UTF-8 text.
FOLDER = "aotpack"
SAMPLE_ENTRY = f"{FOLDER}/sample.npz"


def library_of(variant: str) -> str:
    """What the code of a variant other than the package's own is called; see aotpack.package.metadata.Variant."""
    return f"model.{variant}.so"


def write(
    output: str, files: list[str], document: str, sample: bytes | None, others: Mapping[str, str] | None = None
) -> None:
    """Write the package: `files` of AOTInductor, `document` under the key `aotpack`, and what torch does not know of.

    Args:
        sample: its entry's content.
        others: libraries of other variants, by their names in the package.
    """
    for file in files:
        if file.endswith("_metadata.json"):
            path = Path(file)
            path.write_text(json.dumps({**json.loads(path.read_text()), "aotpack": document}))
    package_aoti(output, files)
    entries = {f"{FOLDER}/{name}": Path(path).read_bytes() for name, path in (others or {}).items()}
    if sample is not None:
        entries[SAMPLE_ENTRY] = sample
    if entries:
        with zipfile.ZipFile(output, "a") as archive:
            for name, content in entries.items():
                entry = zipfile.ZipInfo(f"{Path(output).stem}/{name}")  # of 1980: no clock gets in
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, content)


def sample(described: Signature, run: Run) -> bytes | None:
    """Inputs (`in.NAME`) and eager outputs (`out.NAME`) as .npz; None when they are too large.

    Outputs that random numbers decide are left out. NumPy has no bfloat16: such a tensor is stored as the uint16 of its
    bits, and the signature says what it is.
    """
    arrays = {f"in.{spec['name']}": value for spec, value in zip(described.inputs, run.inputs, strict=True)}
    arrays.update(
        {
            f"out.{spec['name']}": value
            for place, (spec, value) in enumerate(zip(described.outputs, run.outputs, strict=True))
            if place not in run.random.outputs
        }
    )
    if sum(value.numel() * value.element_size() for value in arrays.values()) > SAMPLE_LIMIT:
        return None
    buffer = io.BytesIO()
    np.savez(buffer, **{name: _to_numpy(value) for name, value in arrays.items()})
    return buffer.getvalue()


def _to_numpy(value: Any) -> Any:
    # A parameter may be an output, which is no array before it is detached.
    value = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return value.view(torch.uint16).numpy() if value.dtype == torch.bfloat16 else value.numpy()
