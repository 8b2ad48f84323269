"""The same package from the same model, torch and compiler, wherever and by whomever it is exported.

AOTInductor works in a folder named after the user, names files after a hash that covers the folders of this machine,
writes both into the library and into comments of the code, and divides loops by the number of cores that it sees.

What still differs by machine: with `--cpu-isa native` the instructions, and with any setting how generated matrix
products are cut into blocks, which follows the sizes of the CPU's caches. One machine type gives one package.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch._inductor import cpp_builder, ir

#: The stem of the files that AOTInductor makes.
NAME = "model"
#: Generated loops and products are cut for so many threads; a run divides the pieces among those that it has.
#: Measured with two threads and code cut for 2, 4 and 8 (us, best of runs): 8 x 64 x 256 x 10 16.0, 16.4, 16.4; a
#: single row through 768 x 768 x 3072 x 768 565, 606, 613.
THREADS = 8

#: Where oneDNN's descriptor of a packed weight has no field, between numbers of four and of eight bytes.
GAPS = ((108, 112), (316, 320), (420, 424))


def options(folder: Path) -> dict[str, Any]:
    """Inductor's options for files of a fixed name in a folder of our own, and for code of a fixed division."""
    return {
        "aot_inductor.output_path": f"{folder}/",
        "aot_inductor.model_name_for_generated_files": NAME,
        "cpp.threads": THREADS,
    }


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums come out the same whatever the number of cores; constants and the sample are computed here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def without_folders(folder: Path) -> Iterator[None]:
    """Let compilers write names relative to where things lie: `folder`, torch's headers, Inductor's cache."""
    flags_of = getattr(cpp_builder, "_get_optimization_cflags", None)
    if flags_of is None:
        yield
        return
    places = {str(folder): "", str(Path(torch.__file__).parent): "torch/"}
    if cache := os.environ.get("TORCHINDUCTOR_CACHE_DIR"):
        places[cache] = "cache/"
    # Longer places last: of several that fit, compilers take the last.
    maps = [f"ffile-prefix-map={place}/={name}" for place, name in sorted(places.items(), key=lambda one: len(one[0]))]

    def flags_with_maps(*args: Any, **kwargs: Any) -> tuple[list[str], list[str]]:
        compile_flags, link_flags = flags_of(*args, **kwargs)
        return [*compile_flags, *maps], link_flags

    cpp_builder._get_optimization_cflags = flags_with_maps
    try:
        yield
    finally:
        cpp_builder._get_optimization_cflags = flags_of


@contextlib.contextmanager
def without_addresses() -> Iterator[None]:
    """Let checks in generated code name ops that are closures of Inductor's without where these lay in memory."""
    name_of = getattr(ir.ExternKernel, "get_op_name", None)
    if name_of is None:
        yield
        return

    def without_address(self: Any) -> Any:
        name = name_of(self)
        return re.sub(r" at 0x[0-9a-f]+", "", name) if isinstance(name, str) else name

    ir.ExternKernel.get_op_name = without_address
    try:
        yield
    finally:
        ir.ExternKernel.get_op_name = name_of


@contextlib.contextmanager
def without_gaps() -> Iterator[None]:
    """Let descriptors of packed weights hold zeros between their fields, where oneDNN leaves what was in memory."""
    describe = getattr(torch.ops.mkldnn, "_get_mkldnn_serialized_md", None)
    if describe is None:
        yield
        return

    torch.ops.mkldnn._get_mkldnn_serialized_md = _WithoutGaps(describe)
    try:
        yield
    finally:
        torch.ops.mkldnn._get_mkldnn_serialized_md = describe


class _WithoutGaps:
    """The op that describes a packed weight; what else torch asks of it is its own."""

    def __init__(self, describe: Any) -> None:
        self._describe = describe

    def __call__(self, weight: torch.Tensor) -> torch.Tensor:
        descriptor: torch.Tensor = self._describe(weight).clone()
        for begin, end in GAPS:
            descriptor[begin:end] = 0
        return descriptor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._describe, name)


@contextlib.contextmanager
def without_waiting(folder: Path) -> Iterator[None]:
    """Let exports run at the same time.

    Inductor compiles under a lock that it names after the files and keeps in its cache. Ours have one name, and each
    export, each variant of one as well, has a folder of its own: all of a user's would wait for each other, and fail
    after ten minutes of that.
    """
    try:
        from torch.utils import _filelock
    except ImportError:
        yield
        return
    lock = _filelock.FileLock
    shared = f"{NAME}.lock"

    def own_lock(path: str, *args: Any, **kwargs: Any) -> Any:
        return lock(str(folder / shared) if Path(path).name == shared else path, *args, **kwargs)

    _filelock.FileLock = own_lock
    try:
        yield
    finally:
        _filelock.FileLock = lock


def without_commands(code: str, folder: Path) -> str:
    """Generated C++ without the comments that tell how it was compiled here, and without the folder. Pure."""
    lines = iter(code.splitlines(keepends=True))
    kept = []
    for line in lines:
        if line.rstrip() in ("// Compile cmd", "// Link cmd"):
            next(lines, None)
        else:
            kept.append(line.replace(f"{folder}/", ""))
    return "".join(kept)
