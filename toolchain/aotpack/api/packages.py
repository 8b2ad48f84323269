"""A package: a model that AOTInductor has compiled."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from aotpack.exporting.driving import Comparison
from aotpack.package.metadata import ModelMetadata, TensorSpec

if TYPE_CHECKING:
    from aotpack.package.model import ModelInfo


class Package:
    """A `.pt2` with a compiled model: of `aotpack.export`, or of anybody.

        package = aotpack.Package("mlp.pt2")
        print(package.inputs)

    Attributes:
        path: the file. Without an `output` of `aotpack.export` it lives as long as this object.
        notes: what the export could not do as asked, one sentence each.
        comparisons: each output against eager PyTorch, where `verify` was asked for.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        notes: tuple[str, ...] = (),
        comparisons: tuple[Comparison, ...] = (),
        *,
        _folder: TemporaryDirectory[str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.notes = notes
        self.comparisons = comparisons
        self._folder = _folder  # lives as long

    def __repr__(self) -> str:
        return f"aotpack.Package({str(self.path)!r})"

    @cached_property
    def info(self) -> ModelInfo:
        """All that can be told of it. Raises UsageError, DamagedError, ModelMismatchError for what is no package."""
        from aotpack.package.model import read_model

        return read_model(self.path)

    @property
    def metadata(self) -> ModelMetadata:
        """What the model is (docs/bundle-format.md, "model.json")."""
        return self.info.metadata

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Name, dtype and dims of each input, in call order."""
        return self.metadata.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The same of each output."""
        return self.metadata.outputs

    def lines(self) -> list[str]:
        """What a person wants to read about it."""
        said = [
            f"{entry.name}: largest error {entry.absolute:.2g} absolute, {entry.relative:.2g} relative ({entry.sizes})"
            for entry in self.comparisons
        ]
        size = self.path.stat().st_size / 1e6
        made_by = f"torch {self.metadata.torch_version}"
        said += self.metadata.layer_lines
        return [*said, f"{self.path}: {size:.1f} MB for {self.metadata.device}, made by {made_by}"]

    def document(self) -> dict[str, Any]:
        """The same for programs: what `aotpack export --json` prints."""
        return {
            "schema": 1,
            "output": str(self.path),
            "size": self.path.stat().st_size,
            "device": self.metadata.device,
            "torch": self.metadata.torch_version,
            "precision": [
                {"kind": each.kind, "precision": each.precision, "count": each.count}
                for each in self.metadata.precision
            ],
            "notes": list(self.notes),
            "comparisons": [asdict(entry) for entry in self.comparisons],
        }

    def __fspath__(self) -> str:
        return str(self.path)
