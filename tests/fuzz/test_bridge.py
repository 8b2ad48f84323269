"""The bridge's own readers, under sanitizers: bridge/tests/fuzz.cpp changes inputs and keeps what finds new code."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from tests.fuzz.bridge_corpus import TARGETS, corpus
from tests.fuzz.running import CORPUS, from_text, kept
from tests.support.bundles import sanitizing
from tests.support.bundles.bridge_programs import build_fuzzer
from tests.support.packages.exporting import ROOT

#: Of a short run, the same ones each time; a longer one has a seed of its own.
RUNS, SEED = 3000, 1


@pytest.fixture(scope="module")
def program() -> Path:
    return build_fuzzer(find_torch(Backend.CPU, venv=ROOT / ".venv"))


@pytest.mark.parametrize("target", TARGETS)
def test_readers_survive(program: Path, tmp_path: Path, target: str) -> None:
    seconds = os.environ.get("AOT_FUZZ_SECONDS")
    seed = SEED if seconds is None else random.SystemRandom().randrange(1 << 32)
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    found = [from_text(path.read_text(encoding="ascii")) for path in sorted((CORPUS / target).glob("*.hex"))]
    for number, content in enumerate([*corpus(target), *found]):
        (inputs / f"{number:03}").write_bytes(content)
    limits = (str(seed), seconds or "600", str(RUNS if seconds is None else 1 << 62))
    done = subprocess.run(
        [program, target, inputs, tmp_path / "at hand", *limits],
        env=sanitizing.environment(leaks=True),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        record = (tmp_path / "at hand").read_bytes()
        (size,) = struct.unpack_from("<Q", record)
        where = kept(target, record[8 : 8 + size])
        raise AssertionError(f"seed {seed}; the input is in {where}\n{done.stdout}{done.stderr[-8000:]}")
    assert done.stdout.startswith(f"{target}: ")
