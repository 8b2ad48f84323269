"""What the fuzzer of the bridge begins with: a few honest inputs of each kind."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator

#: Those of bridge/tests/fuzz_targets.cpp.
TARGETS = ("archive", "index", "library", "metadata", "package_metadata", "packed", "prepared", "view")

#: A description with all that the bridge reads of it.
DESCRIPTION = {
    "schema": 4,
    "has_signature": True,
    "device": "cpu",
    "machine": "x86_64",
    "torch_version": "2.13.0",
    "cpu_features": ["avx2"],
    "gpu_archs": [],
    "floors": {"glibc": "2.34"},
    "inputs": [
        {"name": "x", "dtype": "float32", "dims": [{"symbol": "n", "min": 1, "max": 64}, 8], "mutated": False},
        {"name": "y", "dtype": "int64", "dims": [{"symbol": "2*n + 1", "of": "n", "factor": 2, "offset": 1}]},
    ],
    "guards": [
        {"that": ["==", ["%", "n", 6], 0], "text": "n is a multiple of 6"},
        {"that": ["or", ["not", ["<", ["*", "n", "n"], ["max", 7, ["//", "n", -1]]]], [">=", "n", 0]], "text": "t"},
    ],
    "outputs": [{"name": "z", "dtype": "bool", "dims": [None, 8]}],
    "constants": [
        {"shape": [2, 3], "strides": [1, 2], "offset": 0, "begin": 64, "size": 64},
        {"shape": [8, 8], "layout": 0, "begin": 0, "size": 256, "file": 1},
        {
            "shape": [8, 2, 3, 3],
            "layout": 0,
            "begin": 128,
            "size": 1152,
            "convolution": {
                "padding": [1, 1],
                "stride": [2, 1],
                "dilation": [1, 1],
                "groups": 4,
                "input": [1, 8, 9, 9],
                "output_padding": [1, 0],
            },
            "sha256": "00",
        },
    ],
    "weights": ["weights.blob", "../other/weights.blob"],
    "variants": [
        {"name": "baseline", "constants": [1, 0]},
        {"name": "avx2", "library": "model.avx2.so", "cpu_features": ["avx2"], "floors": {"glibc": "2.34"}},
        {"name": "cuda", "folder": "cuda", "device": "cuda", "gpu_archs": ["sm_90"]},
    ],
    "layouts": ["00ff"],
    "rearranged": True,
}


def descriptor(
    sizes: tuple[int, ...],
    strides: tuple[int, ...],
    blocks: tuple[tuple[int, int], ...],
    *,
    padded: tuple[int, ...] = (),
    groups: int = 1,
    dtype: int = 3,
) -> bytes:
    """A struct dnnl_memory_desc of oneDNN 3, by default of float32, as torch writes it. `blocks`: size and dim,
    outermost first."""

    def filled(values: tuple[int, ...]) -> tuple[int, ...]:
        return (*values, *[0] * (12 - len(values)))

    written = bytearray(772)
    struct.pack_into("<2i12q", written, 0, 1, len(sizes), *filled(sizes))
    struct.pack_into("<i4x12q", written, 104, dtype, *filled(padded or sizes))
    struct.pack_into("<qi4x12q", written, 304, 0, 2, *filled(strides))
    struct.pack_into("<i4x12q", written, 416, len(blocks), *filled(tuple(size for size, _ in blocks)))
    struct.pack_into("<12q", written, 520, *filled(tuple(dim for _, dim in blocks)))
    struct.pack_into("<i", written, 768, groups)
    return bytes(written)


#: Of a convolution, of one in groups, of a matrix whose sizes are no multiples of its blocks.
LAYOUTS = (
    ((32, 4, 3, 3), descriptor((32, 4, 3, 3), (1152, 32, 384, 128), ((32, 0),))),
    ((32, 8, 1, 1), descriptor((4, 8, 8, 1, 1), (64, 64, 64, 64, 64), ((8, 2), (8, 1)), groups=4)),
    ((10, 5), descriptor((10, 5), (128, 64), ((8, 1), (8, 0)), padded=(16, 8))),
)


def _package(method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        folder = "m/data/aotinductor/model"
        archive.writestr(f"{folder}/x.wrapper.so", _library())
        archive.writestr(f"{folder}/x.wrapper_metadata.json", json.dumps({"aotpack": json.dumps(DESCRIPTION)}))
        archive.writestr("m/empty/", b"")
    return stream.getvalue()


def _library() -> bytes:
    """The headers of a 64-bit library with one segment and one section."""
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack("<2HI3QI6H", 3, 62, 1, 0, 64, 120, 0, 64, 56, 1, 64, 1, 0)
    segment = struct.pack("<2I6Q", 1, 5, 0, 0, 0, 184, 184, 4096)
    return header + segment + bytes(64)


def _prepared() -> bytes:
    """A file of two weights, one of a convolution and one that is no layout at all."""
    head = {
        "cpu": "AVX2",
        "features": "avx_vnni",
        "threads": 2,
        "torch": "2.13.0",
        "size": 4736,
        "weights": [
            {"of": "one", "layout": LAYOUTS[0][1].hex(), "begin": 0, "size": 4608},
            {"of": "other", "layout": "00ff", "begin": 4608, "size": 100},
        ],
    }
    text = json.dumps(head).encode()
    begin = b"aotpack weights 1 %020d\n" % len(text) + text
    return begin.ljust(-(-len(begin) // 4096) * 4096, b"\0") + bytes(4736)


def _view(flags: int, dtype: tuple[int, int], shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    return struct.pack(f"<Bb3B{len(shape)}q{len(strides)}q", flags, len(shape), *dtype, 1, *shape, *strides)


def corpus(target: str) -> Iterator[bytes]:
    """Inputs of one target of the fuzzer."""
    if target == "archive":
        yield from (_package(), _package(zipfile.ZIP_DEFLATED), b"PK\5\6" + bytes(18))
    elif target == "index":
        yield (
            b"folder\tmodels\nfile\t644\t00000000000000065536\t1234\tmodels/m/weights.blob\n"
            b"file\t755\t00000000000000069632\t4096\tlib/a.so\nlink\ta.so\tlib/link\nlink\tcircle\tlib/circle\n"
        )
    elif target == "library":
        yield from (_library(), _library()[:100])
    elif target == "metadata":
        yield json.dumps(DESCRIPTION).encode()
        yield b'{"schema": 1, "has_signature": false, "inputs": [], "outputs": []}'
    elif target == "package_metadata":
        yield json.dumps({"aotpack": json.dumps(DESCRIPTION)}).encode()
        yield b'{"AOTI_CPU_ISA": "AVX512 AMX_TILE", "AOTI_DEVICE_KEY": "cpu", "AOTI_MACHINE": "x86_64"}'
    elif target == "packed":
        for shape, layout in LAYOUTS:
            yield struct.pack(f"<B{len(shape)}q", len(shape), *shape) + layout
    elif target == "prepared":
        yield _prepared()
        yield _prepared()[:5000]
    elif target == "view":
        yield _view(0, (2, 32), (2, 3, 4), (12, 4, 1))
        yield _view(0, (5, 128), (4, 3), (1, 4))
        yield _view(0, (6, 8), (3, 2), (0, 5))
        yield _view(2, (0, 64), (), ())
        yield _view(4, (1, 8), (0, 7), (1, 1))
