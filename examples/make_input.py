"""Writes `x.npy`, the input of the README's example: 8 rows of 64 float32. Standard library only."""

import random
import struct
from pathlib import Path

ROWS, COLUMNS = 8, 64

header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({ROWS}, {COLUMNS}), }}"
padded = header.ljust(128 - 11) + "\n"  # magic, version, length and header fill 128 bytes
dice = random.Random(0)  # noqa: S311  (an example, not a secret)
values = [dice.gauss(0, 1) for _ in range(ROWS * COLUMNS)]
Path("x.npy").write_bytes(
    b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode() + struct.pack(f"<{len(values)}f", *values)
)
print("x.npy: float32, 8 x 64")
