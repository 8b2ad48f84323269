"""`make test-fixtures`: makes what many tests wait for, with all cores, before they run."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.native.bridge import build_bridge
from aotpack.native.slim import build_slim
from aotpack.runtime.slim_table import Part
from tests.support.bundles import sanitizing
from tests.support.packages.exporting import EXAMPLES, ROOT, SOURCES, cached_export

INTEGRATION = ROOT / "tests" / "integration"

#: What tests ask for, by source and options, the longest first; a test that wants another exports it when it runs.
SHARED: tuple[tuple[Path, dict[str, str | bool]], ...] = (
    (EXAMPLES / "transformer.py", {"cpu_isa": "baseline,avx2,avx512"}),
    (EXAMPLES / "convnet.py", {"cpu_isa": "baseline,avx2,avx512"}),
    (EXAMPLES / "mlp.py", {"cpu_isa": "baseline,avx2,avx512"}),
    (EXAMPLES / "transformer.py", {}),
    (SOURCES / "safety_models.py", {}),
    (SOURCES / "safety_models.py", {"function": "indexing"}),
    (INTEGRATION / "bridge" / "bridge_models.py", {}),
    (EXAMPLES / "convnet.py", {}),
    (EXAMPLES / "multi.py", {}),
    (EXAMPLES / "mlp.py", {}),
    (EXAMPLES / "mlp.py", {"constants": "updatable"}),
    (EXAMPLES / "mlp.py", {"cpu_isa": "avx2"}),
    (EXAMPLES / "data_dependent.py", {}),
    (EXAMPLES / "inplace.py", {}),
    (EXAMPLES / "decoder.py", {"cpu_isa": "avx2"}),
    (EXAMPLES / "voice.py", {"cpu_isa": "avx2"}),
    (EXAMPLES / "no_shim.py", {}),
    (SOURCES / "packed_models.py", {}),
    (INTEGRATION / "build" / "bags.py", {}),
    (INTEGRATION / "embedding" / "running_total.py", {}),
    (INTEGRATION / "embedding" / "transpose.py", {}),
)


def main() -> None:
    """Packages, one a core, then what Ninja compiles with all of them."""
    venv = ROOT / ".venv"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for package in pool.map(lambda each: cached_export(venv, each[0], **each[1]), SHARED):
            print(package.relative_to(ROOT), flush=True)
    torch = find_torch(Backend.CPU, venv=venv)
    build_bridge(torch, Backend.CPU, proxy=True)
    for compile_it in (lambda it: build_slim(it, tuple(Part)), sanitizing.address_runtime, sanitizing.thread_runtime):
        print(compile_it(torch).libraries[0].parent.name, flush=True)


if __name__ == "__main__":
    main()
