"""Bundles made by hand: a few small files that are sealed as a build seals its own, without compiler or torch."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from aotpack.backend import Backend
from aotpack.bundle import manifest
from aotpack.bundle.manifest import BuildHost, Bundle, BundleFloors, FileRecord, Torch
from aotpack.package.metadata import Floors, ModelMetadata, TensorSpec
from aotpack_doctor.base.places import DESCRIPTION

X86_64, AARCH64, AMD_GPU = 62, 183, 224


def elf_file(
    *,
    needed: Sequence[str] = (),
    runpath: str = "",
    machine: int = X86_64,
    executable_stack: bool = False,
) -> bytes:
    """A shared library with a dynamic section and nothing else: what a loader reads of it before it loads it."""
    strings = bytearray(b"\0")

    def text(value: str) -> int:
        place = len(strings)
        strings.extend(value.encode() + b"\0")
        return place

    tags = [(1, text(name)) for name in needed]
    if runpath:
        tags.append((29, text(runpath)))
    headers = 3
    start = 64 + headers * 56
    size = (len(tags) + 3) * 16
    tags += [(5, start + size), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    end = start + len(dynamic) + len(strings)
    program = struct.Struct("<IIQQQQQQ")
    content = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    content += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, headers, 64, 0, 0)
    content += program.pack(1, 5, 0, 0, 0, end, end, 4096)
    content += program.pack(2, 6, start, start, start, len(dynamic), len(dynamic), 8)
    content += program.pack(0x6474E551, 7 if executable_stack else 6, 0, 0, 0, 0, 0, 16)
    return content + dynamic + bytes(strings)


MODEL = ModelMetadata(
    inputs=(TensorSpec("x", "float32", (4,)),),
    outputs=(TensorSpec("y", "float32", (4,)),),
    machine="x86_64",
    torch_version="2.13.0+cpu",
    cpu_features=("avx2",),
    floors=Floors(glibc="2.28", glibcxx=None),
    aotpack_version="0.1.0",
)


def files() -> dict[str, bytes]:
    """Those of a small whole bundle with one model."""
    return {
        "bin/aotrun": elf_file(),
        "lib/libaot_bridge.so": elf_file(needed=("libc.so.6",), runpath="$ORIGIN:$ORIGIN/gcc"),
        "libc/libc.so.6": elf_file(),
        "models/mlp/model.so": elf_file(needed=("libc.so.6",)),
        "models/mlp/model.json": msgspec.json.encode(MODEL),
        "share/notes.txt": b"nothing much\n",
    }


def make_bundle(
    folder: Path,
    contents: Mapping[str, bytes] | None = None,
    *,
    links: Mapping[str, str] | None = None,
    records: Mapping[str, Mapping[str, Any]] | None = None,
    **fields: Any,
) -> Path:
    """Write and seal a bundle.

    Args:
        folder: to make it in.
        contents: its files by path; by default `files()`.
        links: path -> where the link points.
        records: fields of the records of some files, by path.
        fields: of the description.
    """
    found = []
    for path, content in (files() if contents is None else contents).items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        runs = content.startswith(b"\x7fELF")
        place.chmod(0o755 if runs else 0o644)
        record = FileRecord(
            path=path,
            part="runtime",
            reason="made by hand",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            executable=runs,
        )
        found.append(msgspec.structs.replace(record, **(records or {}).get(path, {})))
    for path, target in (links or {}).items():
        (folder / path).symlink_to(target)
        found.append(FileRecord(path=path, part="runtime", reason="made by hand", link=target))
    described: dict[str, Any] = {
        "aotpack": "0.1.0",
        "backend": Backend.CPU,
        "runtime": "slim",
        "portable": True,
        "libc": "bundled",
        "python": "bundled",
        "torch": Torch("2.13.0+cpu", Backend.CPU),
        "built_on": BuildHost(system="Debian", machine="x86_64", glibc="2.36", compiler="g++ 12", python="3.11.2"),
        "floors": BundleFloors(cpu_features=("avx2",)),
        "models": {"mlp": MODEL},
        "files": tuple(found),
        **fields,
    }
    (folder / DESCRIPTION).write_bytes(manifest.encode(Bundle(**described)))
    return folder


def reseal(folder: Path, document: dict[str, Any]) -> None:
    """Write a description, whatever is in it, with the digest that fits."""
    document["digest"] = manifest.digest_of(document)
    (folder / DESCRIPTION).write_text(json.dumps(document))
