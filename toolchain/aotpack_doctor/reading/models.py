"""Models: what a bundle's are, what they call, and whether both of their descriptions agree."""

from __future__ import annotations

import json
import os
import re
from typing import Iterable, Iterator

from aotpack_doctor.base import elf, hashing, versions
from aotpack_doctor.base.places import MODELS
from aotpack_doctor.base.regular import read_regular
from aotpack_doctor.facts import Fault, FaultKind, Model, Variant
from aotpack_doctor.reading.description import Description, ModelRecord, Record, parse_model
from aotpack_doctor.reading.host import listing

#: Fields that are named where two descriptions differ.
_SHOWN = 5
#: Where oneDNN's descriptor of a weight has the number of its type, and what numbers it has for those of 16 bits, as
#: the bridge reads them (bridge/src/package/packed_layout.cpp).
_DTYPE_AT = (104, 108)
_HALVES = {"01000000": "float16", "02000000": "bfloat16"}
#: What exports the shim.
_RUNTIME = re.compile(r"libaot_slim\w*\.so|libtorch_(cpu|cuda|hip)\.so")
#: Namespaces of the operators that come with torch.
TORCH_OPS = frozenset(
    {
        *("aten", "prim", "prims", "quantized", "quantized_decomposed", "mkldnn", "mkl", "inductor"),
        *("_c10d_functional", "onednn"),
    }
)


def read_model(name: str, record: ModelRecord, folder: str, runtime: frozenset[str]) -> Model:
    """A model of a bundle.

    Args:
        name: in the bundle.
        record: its description.
        folder: where it lies.
        runtime: shim functions that there are; empty when not known.
    """
    ops: tuple[str, ...] = ()
    lacking: frozenset[str] = frozenset()
    try:
        nodes = os.path.join(folder, "extern_kernel_nodes.json")
        if os.path.exists(nodes):
            ops = extern_ops(read_regular(nodes).decode())
        if runtime:
            libraries = [variant.library for variant in record.variants] or ["model.so"]
            lacking = frozenset().union(*(elf.shim_names(os.path.join(folder, each)) for each in libraries)) - runtime
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass  # a damaged file is the business of the bundle's checks
    return Model(
        name=name,
        device=record.device,
        machine=record.machine,
        torch_version=record.torch_version,
        cpu_features=record.cpu_features,
        gpu_archs=record.gpu_archs,
        variants=tuple(Variant(each.name, each.device, each.cpu_features, each.gpu_archs) for each in record.variants),
        glibc=record.glibc,
        glibcxx=record.glibcxx,
        int4_order=record.int4_order,
        multiplies_bytes=record.multiplies_bytes,
        packed_halves=packed_halves(record.layouts),
        missing_symbols=tuple(sorted(lacking)),
        needs_proxy=bool(ops),
        custom_ops=custom(ops),
        described=bool(record.aotpack_version),
    )


def disagreements(folder: str, description: Description) -> Iterator[Fault]:
    """Where what a bundle says of its models and what they say of themselves differ. Damage is looked for elsewhere."""
    floor = description.floors.get("glibc", "0")
    for name, record in description.models.items():
        for file in dict.fromkeys(("model.so", "model.json", *(variant.library for variant in record.variants))):
            if description.record_of(f"{MODELS}/{name}/{file}") is None:
                yield Fault(f"{MODELS}/{name}/{file}", "is missing", FaultKind.MISSING)
        path = f"{MODELS}/{name}/model.json"
        missing = sorted(set(record.cpu_features) - set(description.cpu_features))
        if missing:
            what = f"needs the CPU features {', '.join(missing)} that the bundle does not declare"
            yield Fault(path, what, FaultKind.DISAGREES)
        if description.libc == "host" and record.glibc and versions.older(floor, record.glibc):
            what = f"needs glibc {record.glibc}, the bundle declares {description.floors.get('glibc')}"
            yield Fault(path, what, FaultKind.DISAGREES)
        try:
            content = read_regular(os.path.join(folder, path))
            if not _is_as_sealed(content, description.record_of(path)):
                continue
            said = json.loads(content)
            parse_model(said)
        except OSError:
            continue
        except (ValueError, RecursionError):
            yield Fault(path, "is not a model's description", FaultKind.DISAGREES)
            continue
        if said != record.document:
            keys = sorted(key for key in {*said, *record.document} if said.get(key) != record.document.get(key))
            what = f"says something else than bundle.json of {', '.join(keys[:_SHOWN])}"
            yield Fault(path, what, FaultKind.DISAGREES)


def packed_halves(layouts: Iterable[str]) -> tuple[str, ...]:
    """Which types of 16 bits weights have that oneDNN has packed.

    Args:
        layouts: its descriptors of them in hexadecimal, as model.json has them.
    """
    begin, end = (2 * place for place in _DTYPE_AT)
    found = {_HALVES.get(layout[begin:end].lower()) for layout in layouts}
    return tuple(sorted(name for name in found if name is not None))


def _is_as_sealed(content: bytes, record: Record | None) -> bool:
    digest = hashing.PYTHONS.new()
    digest.update(content)
    return record is not None and bool(digest.hexdigest() == record.sha256)


def extern_ops(text: str) -> tuple[str, ...]:
    """Names of the operators in an `extern_kernel_nodes.json`: `torch.ops.aten.sort.default`, ..."""
    nodes = json.loads(text).get("nodes", [])
    return tuple(sorted({node["node"]["target"] for node in nodes}))


def custom(ops: tuple[str, ...]) -> tuple[str, ...]:
    """Those operators that do not come with torch; `torch.ops.mine.op.default` and `mine::op` are both understood."""
    return tuple(op for op in ops if _namespace(op) not in TORCH_OPS)


def _namespace(op: str) -> str:
    return re.split(r"::|\.", op.removeprefix("torch.ops."), maxsplit=1)[0]


def exports_shim(path: str) -> bool:
    """Whether a file is, by its name, what exports the shim."""
    return bool(_RUNTIME.fullmatch(os.path.basename(path)))


def shim_of(folder: str) -> frozenset[str]:
    """The shim functions that a folder's runtime exports; none when there is no runtime in it."""
    names: set[str] = set()
    for name in listing(folder):
        if exports_shim(name):
            try:
                names |= elf.shim_names(os.path.join(folder, name))
            except (OSError, ValueError):
                return frozenset()
    return frozenset(names)
