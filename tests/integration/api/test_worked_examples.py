"""Real models of PyPI packages from their weights to an answer, as examples/*/aotpack.toml say (make test-examples)."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import wave
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.packages.exporting import EXAMPLES

pytestmark = pytest.mark.examples

RATE = 16_000


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def built(tmp_path: Path, backend_venv: Path) -> Callable[[str], Path]:
    """`built("pitch")`: a copy of the example where its own instructions were followed up to `aotpack build`."""

    def make(name: str) -> Path:
        ours = ("aotpack.toml", "*.py", "*.txt")
        folder = tmp_path / name
        folder.mkdir()
        for source in (path for pattern in ours for path in (EXAMPLES / name).glob(pattern)):
            shutil.copy(source, folder)
        shutil.copy(EXAMPLES / "pretrained.py", tmp_path)  # beside the folder, as in the repository
        header = (folder / "aotpack.toml").read_text()
        for line in re.findall(r"^#   ((?:pip download|python3 -m zipfile).*)$", header, re.MULTILINE):
            shell = line.replace("pip download", f"{sys.executable} -m pip download --quiet")
            run("sh", "-euc", shell.replace("python3", sys.executable), cwd=folder)
        document = run(
            *(sys.executable, "-m", "aotpack", "build", "--json"), cwd=folder, AOTPACK_VENV=str(backend_venv)
        )
        (bundle,) = json.loads(document)["bundles"]
        assert bundle["runtime"] == "slim"
        return folder

    return make


def sound(path: Path, *tones: tuple[float, float], vowel: float = 0.0) -> Path:
    """A .wav of tones (Hz, seconds) with harmonics, the strongest of which are near `vowel` Hz."""
    values: list[int] = []
    for hertz, seconds in tones:
        strengths = [math.exp(-(((n * hertz - vowel) / 400) ** 2)) if vowel else 1 / n for n in range(1, 12)]
        for index in range(int(seconds * RATE)):
            angle = 2 * math.pi * hertz * index / RATE
            value = sum(strength * math.sin(n * angle) for n, strength in enumerate(strengths, start=1))
            values.append(int(8000 * value / sum(strengths)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(array("h", values).tobytes())
    return path


def test_pitch(built: Callable[[str], Path]) -> None:
    folder = built("pitch")
    melody = sound(folder / "melody.wav", (261.63, 0.5), (329.63, 0.5), (392.0, 0.5), (440.0, 0.5))
    assert run(sys.executable, "use.py", "dist/pitch", melody, cwd=folder).split() == ["C4", "E4", "G4", "A4"]


def test_speaker(built: Callable[[str], Path]) -> None:
    folder = built("speaker")
    low = sound(folder / "low.wav", (110.0, 2.0), vowel=500)
    again = sound(folder / "again.wav", (112.0, 2.4), vowel=500)
    high = sound(folder / "high.wav", (330.0, 2.0), vowel=2500)

    def alike(other: Path) -> float:
        return float(run(sys.executable, "use.py", "dist/speaker", low, other, cwd=folder))

    assert alike(low) == pytest.approx(1, abs=1e-3)
    assert alike(again) > alike(high)


def test_sentences(built: Callable[[str], Path]) -> None:
    pytest.importorskip("tokenizers", reason="pip install tokenizers")
    folder = built("sentences")
    told = run(sys.executable, "use.py", "dist/sentences", "a cat sleeps", "the kitten naps", "stocks fell", cwd=folder)
    close, far = (float(line.split()[0]) for line in told.splitlines())
    # What the published model gives for them, to two digits.
    assert (round(close, 2), round(far, 2)) == (0.70, 0.02)
