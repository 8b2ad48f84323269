"""Runs in the backend's environment: the headers of generated code, compiled once for all exports of tests.

A wrapper and its kernels include torch's headers first, which is half of a compiler's work on a small model. GCC takes
what it has made of them instead where all options agree, and makes the same code; they do for this machine's own
instructions (`cpu_isa="native"`), which nearly all tests export for.
"""

from __future__ import annotations

import fcntl
import importlib
import inspect
import shlex
import shutil
import subprocess
from pathlib import Path

#: What generated code includes first, and whether Inductor asks for little optimisation there.
HEADERS = {"torch/csrc/inductor/aoti_include/cpu.h": True, "torch/csrc/inductor/cpp_prefix.h": False}


def share(worker: str, folder: Path) -> None:
    """Let exports that this process forks from now on find precompiled headers below `folder`, made if need be.

    Args:
        worker: the name of the package that exports.
    """
    import torch
    from torch._inductor import config, cpp_builder

    compiling, isas, options, reproducible, device_names = (
        importlib.import_module(f"{worker}.{name}")
        for name in ("code.compiling", "code.isas", "options", "code.reproducible", "mends.device_names")
    )
    folder = folder / torch.__version__
    include = folder / device_names.FOLDER
    write = device_names.write
    known = inspect.signature(cpp_builder.CppTorchDeviceOptions).parameters.keys() >= {"min_optimize", "precompiling"}
    if not cpp_builder.is_gcc() or " " in str(folder) or not known or device_names.changed() is None:
        return  # an older torch's exports go without
    device_names.write = lambda _: include
    known_options = {name: value for name, value in compiling.COMMON.items() if options.is_known(name)}
    with config.patch(known_options), reproducible.without_folders(folder), device_names.by_hand(folder):
        making = [_command(header, quick, include, precompiles=True) for header, quick in HEADERS.items()]
        using = [_command(header, quick, include, precompiles=False) for header, quick in HEADERS.items()]
    mend = Path(device_names.__file__).read_text()
    facts = "\n".join([torch.__version__, compiling._version_line(isas.compiler()), *making, *using, mend])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = folder / "made-by"
        if not record.exists() or record.read_text() != facts:
            record.unlink(missing_ok=True)
            write(folder)
            _make(include, making, using)
            record.write_text(facts)


def _command(header: str, quick: bool, include: Path, *, precompiles: bool) -> str:
    """As Inductor compiles: the header below `include`, or a file that includes it."""
    from torch._inductor import cpp_builder
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    options = cpp_builder.CppTorchDeviceOptions(
        vec_isa=pick_vec_isa(),
        device_type="cpu",
        aot_mode=True,
        use_mmap_weights_external=True,
        min_optimize=quick,
        compile_only=not precompiles,
        precompiling=precompiles,
    )
    builder = cpp_builder.CppBuilder(
        name=header if precompiles else _using(include / header).stem,
        sources=str(include / header if precompiles else _using(include / header)),
        output_dir=str(include),
        BuildOption=options,
    )
    return str(builder.get_command_line())


def _using(header: Path) -> Path:
    """A file that includes it."""
    return header.with_suffix(".cpp")


def _make(include: Path, making: list[str], using: list[str]) -> None:
    import torch

    for header in HEADERS:
        # A copy, which the compiler opens where a file includes it twice.
        (include / header).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(torch.__file__).parent / "include" / header, include / header)
        _using(include / header).write_text(f"#include <{header}>\n" * 2)
    begun = [subprocess.Popen(shlex.split(command), stderr=subprocess.DEVNULL) for command in making]
    statuses = [process.wait() for process in begun]
    assert not any(statuses), "torch's headers cannot be precompiled"
    for command in using:
        done = subprocess.run([*shlex.split(command), "-H"], capture_output=True, text=True, check=True)
        assert done.stderr.startswith("! "), f"the compiler does not take what it precompiled: {command}"
