"""python3 use.py BUNDLE ONE.wav OTHER.wav: how alike two voices are, 0 to 1. Needs the standard library alone.

Above about 0.75 it is likely to be the same speaker.
"""

import math
import sys
import wave
from array import array
from pathlib import Path


def samples(path, rate):
    """The sound of a 16-bit mono .wav as numbers between -1 and 1, raised to -30 dB where it is quieter."""
    with wave.open(path) as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, rate):
            sys.exit(f"{path}: not 16-bit mono at {rate} Hz; ffmpeg -i {path} -ac 1 -ar {rate} out.wav")
        sound = array("f", (value / 32768 for value in array("h", file.readframes(file.getnframes()))))
    loudness = math.sqrt(sum(value * value for value in sound) / max(len(sound), 1))
    gain = max(1.0, 10 ** (-30 / 20) / loudness) if loudness else 1.0
    return array("f", (value * gain for value in sound))


def embedding(model, sound):
    """The mean of all windows, which overlap by half; the last is filled up with silence."""
    window = model.metadata["window"]
    starts = range(0, max(len(sound) - window // 2, 1), window // 2)
    rows = array("f")
    for start in starts:
        part = sound[start : start + window]
        rows += part + array("f", bytes(4 * (window - len(part))))
    vectors = model(memoryview(rows).cast("B").cast("f", (len(starts), window))).tolist()
    mean = [sum(column) for column in zip(*vectors)]  # noqa: B905  (for any Python from 3.8 on)
    length = math.sqrt(sum(value * value for value in mean))
    return [value / length for value in mean]


def main():
    bundle, one, other = sys.argv[1:]
    sys.path.insert(0, str(Path(bundle) / "runner"))
    import aotrun

    model = aotrun.load(bundle)
    first, second = (embedding(model, samples(path, model.metadata["sample_rate"])) for path in (one, other))
    print(f"{sum(a * b for a, b in zip(first, second)):.3f}")  # noqa: B905


if __name__ == "__main__":
    main()
