"""A bundle, and all that can be done with it."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aotpack.bundle.manifest import Bundle as Description
from aotpack.bundle.manifest import load_bundle
from aotpack.package.metadata import ModelMetadata

if TYPE_CHECKING:
    from aotpack.api.model import Model
    from aotpack.api.verification import Verification
    from aotpack.release.packing import Release


class Bundle:
    """A folder that runs a model on a bare Linux machine.

        bundle = aotpack.Bundle("dist/mlp")
        model = bundle.load()
        y = model(x)

    Attributes:
        path: the folder.
        changed: of `aotpack.build`: False when everything was up to date.
        runtime_reason: of `aotpack.build`: why this runtime, in a phrase.
    """

    def __init__(self, path: str | os.PathLike[str], *, changed: bool = False, runtime_reason: str = "") -> None:
        self.path = Path(path)
        self.changed = changed
        self.runtime_reason = runtime_reason

    def __repr__(self) -> str:
        return f"aotpack.Bundle({str(self.path)!r})"

    def __fspath__(self) -> str:
        return str(self.path)

    @cached_property
    def description(self) -> Description:
        """Its `bundle.json` (docs/bundle-format.md). Raises UsageError, DamagedError."""
        return load_bundle(self.path)

    @property
    def models(self) -> dict[str, ModelMetadata]:
        """What each model is, by name."""
        return self.description.models

    @property
    def digest(self) -> str:
        """`sha256:...` of the description, which lists the hash of every file."""
        return f"sha256:{self.description.digest}"

    def sizes(self) -> dict[str, int]:
        """Bytes by part, largest first."""
        return self.description.sizes()

    def load(
        self,
        model: str | None = None,
        *,
        device: str | None = None,
        runners: int = 1,
        threads: int = 0,
        variant: str | None = None,
    ) -> Model:
        """Load a model into this process; see `aotpack.load`."""
        from aotpack.api.model import load

        return load(self.path, model=model, device=device, runners=runners, threads=threads, variant=variant)

    def verify(self, **options: Any) -> Verification:
        """Check every file, and prove it; see `aotpack.verify`."""
        from aotpack.api.verification import verify

        return verify(self.path, **options)

    def pack(self, form: str = "tar.zst", output: str | os.PathLike[str] | None = None, **options: Any) -> Release:
        """Pack it into the form that it travels in; see `aotpack.pack`."""
        from aotpack.api.releases import pack

        return pack(self.path, form, output, **options)

    def sign(self, key: str | os.PathLike[str], **options: Any) -> Path:
        """Sign it; returns the signature's file. See `aotpack.api.releases.sign`."""
        from aotpack.api.releases import sign

        return sign(self.path, key, **options)
