"""Runs in the backend's environment: imports torch once, and forks a worker of exports for each that is asked for.

`python -I forking_workers.py WORKER-FOLDER HEADERS [COVERAGE]`, with a Unix socket as standard input. A message on it
is one order: the folder to work in, and four descriptors, of the worker's standard input, output and errors, and where
to write what becomes of it: its process number once it leads a session, then its exit status and the processor's
seconds.

HEADERS is the folder of precompiled headers. COVERAGE is that of the package that measures which lines run (`make
coverage`), as aotpack's environment has it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import socket
import sys
from pathlib import Path

WORKER = "aotpack_export_worker"
#: What an export imports, so that forked workers need not.
WORKERS_OWN = (
    "packing",
    "reading",
    "eager.running",
    "verifying",
    "code.compiling",
    "graph.sizing",
    "sources.loading",
    "variants.forms",
)
TORCHS = (
    "torch._inductor.compile_fx",
    "torch._inductor.fx_passes.joint_graph",
    "torch._inductor.fx_passes.post_grad",
    "torch._inductor.mkldnn_lowerings",
    "torch._inductor.codegen.cpp_wrapper_cpu",
    "torch._inductor.package",
    "torch.export._trace",
    "torch._export.non_strict_utils",
)


def main() -> None:
    folder, headers, *coverage = map(Path, sys.argv[1:])
    for package in coverage:
        _measure_with(package)
    spec = importlib.util.spec_from_file_location(
        WORKER, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules[WORKER] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[WORKER])
    worker = importlib.import_module(f"{WORKER}.main")
    importlib.import_module(f"{WORKER}.importing").import_torch()
    for name in (*(f"{WORKER}.{own}" for own in WORKERS_OWN), *TORCHS):
        importlib.import_module(name)
    sys.path.append(str(Path(__file__).parent))
    importlib.import_module("precompiled_headers").share(WORKER, headers)
    orders = socket.socket(fileno=os.dup(0))
    while True:
        place, descriptors, _, _ = socket.recv_fds(orders, 1 << 16, 4)
        if not descriptors:
            return
        if os.fork() == 0:
            _keep(worker.main, place, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        while _reaped():
            pass


def _measure_with(package: Path) -> None:
    """From now on, and in what is forked. Nothing else is taken from that environment."""
    spec = importlib.util.spec_from_file_location(
        package.name, package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None
    assert spec.loader is not None
    coverage = sys.modules[package.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(coverage)
    coverage.process_startup()


def _reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _keep(work, place: bytes, requests: int, events: int, log: int, fate: int) -> None:
    """Fork the worker itself, and tell what becomes of it. Never returns."""
    try:
        if os.fork() == 0:
            os.setsid()
            os.write(fate, f"{os.getpid()}\n".encode())
            for descriptor, standard in ((requests, 0), (events, 1), (log, 2)):
                os.dup2(descriptor, standard)
            for descriptor in (requests, events, log, fate):
                os.close(descriptor)
            os.chdir(place)
            work()
        for descriptor in (requests, events, log):
            os.close(descriptor)
        _, status, used = os.wait4(-1, 0)
        os.write(fate, f"{os.waitstatus_to_exitcode(status)} {used.ru_utime + used.ru_stime}\n".encode())
    finally:
        os._exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
