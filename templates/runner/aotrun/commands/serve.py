"""`aotrun serve`: the models of this bundle over HTTP."""

from __future__ import annotations

import os

from aotrun.errors import UsageError, report
from aotrun.library import bundle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List


def main(values: Dict[str, Any]) -> int:
    """Run the command; returns when the server was told to end."""
    from aotrun.serving.settings import Settings
    from aotrun.serving.supervisor import Supervisor

    # Workers would wait for each other awake (commands/session.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    settings = Settings(values)
    if settings.workers > 1 and not settings.threads:
        settings.threads = max(1, len(os.sched_getaffinity(0)) // settings.workers)
    return Supervisor(settings, _names(values["model"]), report).serve()


def _names(asked: List[str]) -> List[str]:
    """The models to serve: those that are named, or all. Raises UsageError."""
    known = bundle.model_names(bundle.HERE)
    for name in asked:
        bundle.model_folder(bundle.HERE, name)
    names = [name for name in known if name in asked or not asked]
    if not names:
        raise UsageError(f"{bundle.HERE} has no models", "There is nothing to serve.", "Build the bundle with a model.")
    return names
