"""Runs a reader over inputs until the time is up: the corpus first, then what is made of seeds.

A short run is part of every test run; `AOT_FUZZ_SECONDS` gives each target so long. What fails is written down as text,
in hexadecimal, for the corpus.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus_python")
FOUND = Path(__file__).resolve().parents[2] / ".cache" / "fuzz"
#: Inputs of a short run, the same ones each time.
_SHORT = 150


def fuzz(
    target: str,
    make: Callable[[random.Random], bytes],
    read: Callable[[bytes], object],
    expected: type[Exception] | tuple[type[Exception], ...],
    *,
    most: int | None = None,
) -> None:
    """Read many inputs: each is taken, or refused by one of the `expected` errors, and not all are refused.

    Args:
        target: a folder of the corpus.
        make: an input out of some randomness.
        read: the reader.
        expected: how it says that an input is not acceptable.
        most: bytes of memory that reading one input may take; None: as many as it likes.
    """
    taken = 0
    for path in sorted((CORPUS / target).glob("*.hex")):
        taken += _try(target, from_text(path.read_text(encoding="ascii")), read, expected, most)
    seconds = float(os.environ.get("AOT_FUZZ_SECONDS", "0"))
    end = time.monotonic() + seconds
    seed = 0
    while seed < _SHORT or time.monotonic() < end:
        taken += _try(target, make(random.Random(f"{target} {seed}")), read, expected, most)  # noqa: S311  (no secrets)
        seed += 1
    assert taken, f"{target}: all of {seed} inputs were refused"


def from_text(text: str) -> bytes:
    """The bytes of a file of the corpus: hexadecimal, and comments that say what they once did."""
    return bytes.fromhex("".join(line for line in text.splitlines() if not line.startswith("#")))


def _try(
    target: str,
    content: bytes,
    read: Callable[[bytes], object],
    expected: type[Exception] | tuple[type[Exception], ...],
    most: int | None,
) -> bool:
    """Whether it was taken."""
    taken = False
    if most is not None:
        tracemalloc.start()
    try:
        read(content)
        taken = True
    except expected:
        pass
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}; the input is in {kept(target, content)}") from error
    finally:
        peak = tracemalloc.get_traced_memory()[1] if most is not None else 0
        tracemalloc.stop()
    if most is not None and peak > most:
        raise AssertionError(f"it took {peak} bytes; the input is in {kept(target, content)}")
    return taken


def kept(target: str, content: bytes) -> Path:
    """Writes an input that fails down as text for the corpus; where."""
    path = FOUND / target / f"{hashlib.sha256(content).hexdigest()[:16]}.hex"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content.hex()
    path.write_text("\n".join(text[at : at + 120] for at in range(0, len(text), 120)) + "\n", encoding="ascii")
    return path
