"""python3 use.py BUNDLE SOUND.wav: the notes of a melody, one a line. Needs the standard library alone."""

import math
import sys
import wave
from array import array
from itertools import groupby
from pathlib import Path

#: Below this the network is guessing.
SURE = 0.5


def windows(path, rate, size):
    """Consecutive windows of a 16-bit mono .wav as one array, and how many there are."""
    with wave.open(path) as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, rate):
            sys.exit(f"{path}: not 16-bit mono at {rate} Hz; ffmpeg -i {path} -ac 1 -ar {rate} out.wav")
        sound = array("f", (value / 32768 for value in array("h", file.readframes(file.getnframes()))))
    count = len(sound) // size
    return memoryview(sound[: count * size]).cast("B").cast("f", (count, size))


def note(hertz, names):
    """The nearest note, such as A4 for 440 Hz."""
    number = round(69 + 12 * math.log2(hertz / 440))
    return f"{names[number % 12]}{number // 12 - 1}"


def main():
    bundle, path = sys.argv[1:]
    sys.path.insert(0, str(Path(bundle) / "runner"))
    import aotrun

    model = aotrun.load(bundle)
    names = model.asset("notes.txt").decode().split()
    found = model.run(windows(path, model.metadata["sample_rate"], model.metadata["window"])).outputs
    heard = zip(found["pitch"].tolist(), found["confidence"].tolist())  # noqa: B905  (for any Python from 3.8 on)
    for name, group in groupby(note(hertz, names) for hertz, sure in heard if sure >= SURE):
        if len(list(group)) > 1:  # a single window is the end of one note in the next
            print(name)


if __name__ == "__main__":
    main()
