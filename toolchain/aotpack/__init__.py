"""aotpack: pack an AOTInductor model with exactly what it needs into a folder that runs on a bare Linux machine.

    package = aotpack.export(module, (x,), verify=True)
    bundle = aotpack.build(package, "dist/model", portable=True)
    model = bundle.load()
    y = model(x)

Importing it costs nothing: a name is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from aotpack.api.builds import build as build
    from aotpack.api.bundles import Bundle as Bundle
    from aotpack.api.diagnosis import Diagnosis as Diagnosis
    from aotpack.api.diagnosis import doctor as doctor
    from aotpack.api.exports import export as export
    from aotpack.api.inspection import inspect as inspect
    from aotpack.api.model import Model as Model
    from aotpack.api.model import Session as Session
    from aotpack.api.model import load as load
    from aotpack.api.packages import Package as Package
    from aotpack.api.projects import build_project as build_project
    from aotpack.api.releases import pack as pack
    from aotpack.api.releases import sign as sign
    from aotpack.api.verification import Verification as Verification
    from aotpack.api.verification import verify as verify
    from aotpack.errors import AotpackError as AotpackError
    from aotpack.errors import BuildToolError as BuildToolError
    from aotpack.errors import DamagedError as DamagedError
    from aotpack.errors import MachineMismatchError as MachineMismatchError
    from aotpack.errors import ModelMismatchError as ModelMismatchError
    from aotpack.errors import TorchMismatchError as TorchMismatchError
    from aotpack.errors import UsageError as UsageError
    from aotpack.progress.events import Event as Event

#: Name -> the module that holds it.
_PLACES = {
    **dict.fromkeys(("export",), "aotpack.api.exports"),
    **dict.fromkeys(("build",), "aotpack.api.builds"),
    **dict.fromkeys(("verify", "Verification"), "aotpack.api.verification"),
    **dict.fromkeys(("inspect",), "aotpack.api.inspection"),
    **dict.fromkeys(("pack", "sign"), "aotpack.api.releases"),
    **dict.fromkeys(("doctor", "Diagnosis"), "aotpack.api.diagnosis"),
    **dict.fromkeys(("load", "Model", "Session"), "aotpack.api.model"),
    "build_project": "aotpack.api.projects",
    "Bundle": "aotpack.api.bundles",
    "Package": "aotpack.api.packages",
    "Event": "aotpack.progress.events",
    **dict.fromkeys(
        (
            "AotpackError",
            "BuildToolError",
            "DamagedError",
            "MachineMismatchError",
            "ModelMismatchError",
            "TorchMismatchError",
            "UsageError",
        ),
        "aotpack.errors",
    ),
}

__all__ = ["__version__", *_PLACES]  # noqa: PLE0604  (a test holds the names against the imports above)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'aotpack' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
