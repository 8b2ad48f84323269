"""clang-tidy over the bridge and the slim runtime: `python -m tests.tools.clang_tidy`. Warnings are errors
(bridge/.clang-tidy).

A file that had nothing to complain about is not looked at again until something changes that it follows from: itself,
any header that it reaches, its options, the checks, clang-tidy. `.cache/clang-tidy` remembers.

Nearly all of the time goes to the headers of torch and of the standard library, so files of the same options are first
looked at in batches, one text each. Whatever is said of a batch is no answer: its files are then looked at one by one.

The slim runtime is compiled several files at a time as well, so whether each includes what it uses is seen here: by the
compiler, which looks at each alone, and at the headers that no file includes first. (tests/unit/native/test_includes.py
knows the standard library's headers, which others bring along.)
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aotpack.backend import Backend
from aotpack.environment.search import find_torch

ROOT = Path(__file__).resolve().parents[2]
BRIDGE = ROOT / "bridge"
SLIM = BRIDGE / "slim"
FOLDERS = ("src", "proxy", "tests", "slim")
CHECKS = BRIDGE / ".clang-tidy"
#: bridge/CMakeLists.txt gives them.
DEFINITIONS = ('-DAOT_COMPILER="c++"', '-DAOT_TEST_DATA="data"')
#: What only a GPU toolkit's headers can compile; a test does, where there are some.
LEFT_OUT = ("gpu_abi_test.cpp",)
#: bridge/slim/CMakeLists.txt and kernels/matrix/CMakeLists.txt give them, by the folder's name or the file's.
_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma")
INSTRUCTIONS = {
    "amx": ("-mamx-tile", "-mamx-bf16", "-mamx-int8"),
    "avx2": ("-mavx2", "-mfma"),
    "avx512": _AVX512,
    "avx512_bf16": (*_AVX512, "-mavx512bf16"),
    "avx512_vbmi": (*_AVX512, "-mavx512vnni", "-mavx512vbmi"),
    "avx512_vnni": (*_AVX512, "-mavx512vnni"),
}
#: Checks that contradict how a folder of the slim runtime is written: in headers that each instruction set compiles for
#: itself, and with tiles counted in int. GCC's std::stable_sort calls what is deprecated.
LEFT_OUT_CHECKS = {
    SLIM / "kernels" / "matrix": ("bugprone-implicit-widening-of-multiplication-result", "cert-dcl59-cpp"),
    SLIM / "ops" / "signal": ("clang-diagnostic-deprecated-declarations",),
    SLIM / "vector": ("cert-dcl59-cpp", "misc-definitions-in-headers"),
}
#: The analyser follows fewer calls into one another in the slim runtime: its loops over tensors otherwise take it five
#: times as long as all else here.
SHALLOW = ("-Xclang", "-analyzer-config", "-Xclang", "mode=shallow")
#: Pieces of the slim runtime that are included for one set of instructions, whose macros they follow.
PIECES = ("generic", "vector")
#: Files of a batch: as many as still leave several batches for each core.
BATCH = 8
#: Folders whose files are never in a batch: they declare or name things as others do.
ALONE = ("proxy", "threads", "matrix")
#: A name of an empty file here: the hash of all that one clean result follows from.
CLEAN = ROOT / ".cache" / "clang-tidy"
PROGRAM = Path(sys.executable).with_name("clang-tidy")


def left_out(path: Path) -> str:
    """What is said to clang-tidy of the checks that a file is not for."""
    return ",".join(f"-{name}" for folder, names in LEFT_OUT_CHECKS.items() if folder in path.parents for name in names)


@dataclass(frozen=True)
class Source:
    """A file and what the result follows from; no key when not even its headers can be told."""

    path: Path
    flags: tuple[str, ...]
    key: str | None

    @property
    def checks(self) -> str:
        """Of `CHECKS`, those that are left out."""
        return left_out(self.path)

    @property
    def is_known(self) -> bool:
        """Whether it had nothing to complain about."""
        return self.key is not None and (CLEAN / self.key).exists()

    def remember(self) -> None:
        """That there is nothing."""
        if self.key is not None:
            (CLEAN / self.key).touch()


def main() -> int:
    """0 when there is nothing to say."""
    found = [path for folder in FOLDERS for path in sorted((BRIDGE / folder).rglob("*.cpp"))]
    files = [path for path in found if path.name not in LEFT_OUT]
    assert {path.relative_to(BRIDGE).parts[0] for path in files} == set(FOLDERS), "a folder of the bridge is empty"
    files += headers_alone(SLIM)
    CLEAN.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sources = list(pool.map(_source, files))
        waiting = [source for source in sources if not source.is_known]
        incomplete = {
            source: said for source, said in zip(waiting, pool.map(_incomplete, waiting), strict=True) if said
        }
        complete = [source for source in waiting if source not in incomplete and source.path.suffix == ".cpp"]
        doubtful = [source for batch in pool.map(_doubtful, batches(complete)) for source in batch]
        bad = [*incomplete.values(), *(said for said in pool.map(_complaints, doubtful) if said)]
    unchanged = len(sources) - len(waiting)
    print(*bad, f"clang-tidy: {len(files)} files, {unchanged} unchanged, {len(bad)} with warnings", sep="\n")
    return 1 if bad else 0


def headers_alone(folder: Path) -> list[Path]:
    """Headers that are no source's first include, of the same name: that source's compilation says nothing of them."""
    found = sorted(path for path in folder.rglob("*.h") if path.parent.name not in PIECES)
    return [path for path in found if not _is_first(path)]


def _is_first(header: Path) -> bool:
    source = header.with_suffix(".cpp")
    first = re.search(r"^#include .*", source.read_text(), re.MULTILINE) if source.exists() else None
    return first is not None and re.search(rf'[/"]{re.escape(header.name)}"', first[0]) is not None


def _incomplete(source: Source) -> str:
    """What the compiler misses in a file of the slim runtime that is compiled alone."""
    if SLIM not in source.path.parents:
        return ""
    is_header = source.path.suffix == ".h"
    file = ("-include", str(source.path), "-x", "c++", os.devnull) if is_header else (str(source.path),)
    command = ["c++", *_for_gcc(source.flags), "-fsyntax-only", *file]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    if is_header and not said:
        source.remember()
    return said


def batches(sources: Sequence[Source]) -> list[list[Source]]:
    """Sources of the same options that are looked at together; those that take long first, not at the end."""
    together: dict[tuple[str, ...], list[Source]] = {}
    for source in sources:
        own = (str(source.path),) if source.path.parent.name in ALONE else ()
        together.setdefault((*source.flags, source.checks, *own), []).append(source)
    made = []
    for group in together.values():
        count = -(-len(group) // BATCH)
        group.sort(key=lambda source: "int main(" not in source.path.read_text())  # a batch can have one
        made += [group[start::count] for start in range(count)]
    return sorted(made, key=lambda batch: ("proxy" not in batch[0].path.parts, -_size(batch)))


def _size(batch: Sequence[Source]) -> int:
    return sum(source.path.stat().st_size for source in batch)


def _doubtful(batch: Sequence[Source]) -> Sequence[Source]:
    """Look at a batch: its files when there is something about one of them, none when all are clean."""
    if len(batch) == 1:
        return batch
    text = "".join(f'#line 1 "{source.path}"\n{source.path.read_text()}\n' for source in batch)
    # In a folder of the bridge's name, as the checks of headers go by that.
    folder = ROOT / "build" / "clang-tidy"
    folder.mkdir(parents=True, exist_ok=True)
    unit = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.cpp"
    unit.write_text(text)
    own = dict.fromkeys(f"-I{source.path.parent}" for source in batch)
    if _tidy(unit, (*batch[0].flags, *own), batch[0].checks):
        return batch
    for source in batch:
        source.remember()
    return ()


def _complaints(source: Source) -> str:
    """What clang-tidy has against one file."""
    said = _tidy(source.path, source.flags, source.checks)
    if not said:
        source.remember()
    return said


def _tidy(file: Path, flags: Sequence[str], checks: str) -> str:
    command = [PROGRAM, "--quiet", f"--config-file={CHECKS}", f"--checks={checks}", file, "--", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{done.stdout}\n{done.stderr}" if done.returncode else ""


def _source(path: Path) -> Source:
    flags = tuple(_flags(path))
    return Source(path, flags, _key(path, flags))


def _flags(path: Path) -> Iterator[str]:
    """The compiler's options for a file."""
    yield "-std=c++17"
    if SLIM in path.parents:
        yield from ("-fopenmp-simd", f"-I{SLIM}", *SHALLOW)
        yield from INSTRUCTIONS.get(path.parent.name, INSTRUCTIONS.get(path.stem.removeprefix("vecmath_"), ()))
    else:
        yield from (f"-I{BRIDGE / folder}" for folder in ("include", "src", "proxy", "tests"))
        yield from DEFINITIONS
    for folder in _torch_includes():
        yield from ("-isystem", str(folder))


def _for_gcc(flags: Sequence[str]) -> list[str]:
    return [flag for flag in flags if flag not in SHALLOW]


@cache
def _torch_includes() -> tuple[Path, ...]:
    return tuple(find_torch(Backend.CPU, venv=ROOT / ".venv").include_dirs)


def _key(file: Path, flags: Sequence[str]) -> str | None:
    """The hash of everything that the result follows from."""
    try:
        listed = _said("c++", *_for_gcc(flags), "-M", str(file)).replace("\\\n", " ").partition(":")[2].split()
    except subprocess.CalledProcessError:
        return None
    common = (_said(PROGRAM, "--version"), _said("c++", "--version"), *flags, CHECKS.read_text(), left_out(file))
    parts = [*common, str(file.relative_to(ROOT)), *(f"{name} {_digest(name)}" for name in listed)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


@cache
def _said(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
