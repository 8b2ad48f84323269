"""`aotrun prepare`: the weights as this kind of CPU reads them, written once for all processes to map."""

from __future__ import annotations

import os

from aotrun.commands.session import open_model
from aotrun.errors import AotError, UsageError, printable
from aotrun.formats.documents import SCHEMA, dumps
from aotrun.library import bundle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional


def main(values: Dict[str, Any]) -> int:
    """Run the command; returns the exit code."""
    if not values["output"]:
        raise UsageError("no folder is named", "Nothing is written where nobody said.", "Give: --output FOLDER")
    folder = os.path.abspath(values["output"])
    names = [values["model"]] if values["model"] is not None else bundle.model_names(bundle.HERE)
    told: List[Dict[str, Any]] = []
    failed: Optional[AotError] = None
    for name in names:
        try:
            with open_model({**values, "model": name}, prepared="") as model:
                told.append({"model": os.path.basename(model.path), "variant": model.variant, **model.prepare(folder)})
        except AotError as error:  # one that cannot be is no reason to leave out those after it
            failed = failed or error
            continue
        if not values["json"] and not values["quiet"]:
            print(printable(_line(told[-1])), flush=True)
    if failed is not None and not told:
        raise failed
    if values["json"]:
        print(dumps({"schema": SCHEMA, "folder": folder, "models": told}))
    elif not values["quiet"] and any(each["file"] for each in told):
        print(printable(f"Processes that are started with AOT_PREPARED={folder} share them."))
    if failed is not None:
        raise failed
    return 0


def _line(told: Dict[str, Any]) -> str:
    form = f"{told['model']}, variant {told['variant']}" if told["variant"] else told["model"]
    if not told["file"]:
        return f"{form}: nothing to prepare, {told['reason']}"
    return f"{form}: {told['weights']} weights, {told['bytes'] / 1e6:.1f} MB, in {told['file']}"
