"""A bundle without a model: launcher, libc, interpreter and a probe in the runner's place. Built in a second."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aotpack.backend import Backend
from aotpack.bundle.plan import plan_bundle
from aotpack.bundle.writing import write_entries
from aotpack.interpreter.selection import plan_interpreter
from aotpack.libraries.closure import walk
from aotpack.libraries.finder import DiskFinder
from aotpack.libraries.recipe import load_recipe
from aotpack.native.launcher import build_launcher
from tests.support.bundles.inputs import build_inputs

#: Tells what it was started with and what it sees.
PROBE = """
import json, os, sys
import ctypes, struct, zlib
try:
    from _sha2 import sha256
except ImportError:
    from _sha256 import sha256
print(json.dumps({
    "argv": sys.argv[1:], "cwd": os.getcwd(), "environment": dict(os.environ), "executable": sys.executable,
    "flags": [sys.flags.isolated, sys.flags.no_site, sys.flags.dont_write_bytecode, sys.flags.utf8_mode],
    "path": sys.path, "prefix": sys.prefix, "version": "%d.%d" % sys.version_info[:2],
    "sha256": sha256(b"").hexdigest(),
}))
"""


def assemble(folder: Path, python: Path, probe: str = PROBE) -> Path:
    """Make such a bundle in `folder` from an interpreter."""
    plan = plan_interpreter(python)
    closure = walk(plan.roots, DiskFinder())
    own = {root.name for root in plan.roots}
    needs = replace(closure, libraries=tuple(library for library in closure.libraries if library.name not in own))
    inputs = build_inputs(
        recipe=load_recipe(Backend.CPU),
        launcher=build_launcher(),
        interpreter=plan.packed_for(closure).entries,
        interpreter_closure=needs,
    )
    ignore: Callable[[int], None] = lambda _done: None  # noqa: E731
    write_entries(folder, plan_bundle(inputs).entries, ignore)
    shutil.rmtree(folder / "runner")
    (folder / "runner" / "aotrun").mkdir(parents=True)
    (folder / "runner" / "aotrun" / "__main__.py").write_text(probe)
    return folder
