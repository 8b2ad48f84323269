"""`aotrun info`: what this bundle is."""

from __future__ import annotations

import os

from aotrun.commands.session import model_path
from aotrun.errors import printable
from aotrun.formats import bundle_files
from aotrun.formats.documents import SCHEMA, dumps
from aotrun.library import bundle, ffi
from aotrun.library.model import variants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, Mapping

#: What is to be known of layers of int8 on a CPU: whether a model has a variant for it says nothing of them.
OF_INT8 = "layers of int8 that are the runtime's use VNNI or AMX where the CPU has it, in every variant"


def main(values: Dict[str, Any]) -> int:
    """Run the command; returns the exit code."""
    import json

    # A folder of models without bundle.json, as a build of one's own may be, is told about as far as it goes.
    described = bundle_files.exists(os.path.join(bundle.HERE, "bundle.json"))
    document = bundle.manifest(bundle.HERE) if described else {}
    models = document.get("models", {})
    if values["model"] is not None:
        name = values["model"]
        # What the bundle says of its own is told also where this machine cannot load it.
        models = {name: models[name] if name in models else _metadata(name)}
    build = json.loads(ffi.bridge(bundle.lib_folder(bundle.HERE)).aot_build_info())
    forms = {name: variants(bundle.HERE, model_path(name)) for name in models}
    if values["json"]:
        shown = {key: value for key, value in document.items() if key not in ("schema", "files", "models")}
        told = {"schema": SCHEMA, "path": bundle.NAME, "bundle": shown, "bridge": build, "models": models}
        print(dumps({**told, "variants": forms}))
        return 0
    print(printable(f"bundle    {bundle.NAME}"))
    for line in _about(document, build):
        print(printable(line))
    for name, metadata in models.items():
        print(printable(f"model     {name}"))
        for line in _signature(metadata):
            print(printable(line))
        for line in _variants(forms[name]):
            print(printable(f"  {line}"))
    return 0


def _signature(metadata: Mapping[str, Any]) -> Iterator[str]:
    """What a model takes and gives, and what its sizes must satisfy."""
    for direction in ("inputs", "outputs"):
        for spec in metadata.get(direction, []):
            note = " (written in place)" if spec.get("mutated") else ""
            dims = ", ".join(map(_dim, spec["dims"]))
            yield f"  {direction[:-1]:<7} {spec['name']}: {spec['dtype']}[{dims}]{note}"
    for guard in metadata.get("guards", []):
        yield f"  guard   {guard['text']}"
    if metadata.get("device", "cpu") == "cpu" and _has_int8(metadata):
        yield f"  {OF_INT8}"
    if not metadata.get("has_signature", True):
        yield "  made by plain PyTorch, which records no names, no outputs, and no conditions on sizes: none is guarded"


def _has_int8(metadata: Mapping[str, Any]) -> bool:
    return any(layer["precision"] == "int8" for layer in metadata.get("precision", []))


def _variants(told: Mapping[str, Any]) -> Iterator[str]:
    """A line each: what it asks for, and whether it is taken here; of the only form, why it cannot run."""
    for variant in told["variants"]:
        device = "" if variant["device"] == "cpu" else f", {variant['device']} {' '.join(variant['gpu_archs'])}"
        needs = f"{' '.join(variant['cpu_features']) or 'any CPU'}{device}"
        is_chosen = variant["name"] == told["chosen"]
        if is_chosen and variant["obstacle"]:  # the one that was asked for, whatever else there is
            note = f"asked for by AOT_VARIANT, and cannot run here: {variant['obstacle']}"
        elif is_chosen:
            note = f"taken ({'AOT_VARIANT' if os.environ.get('AOT_VARIANT') else 'the best that this machine can run'})"
        else:
            note = f"cannot run here: {variant['obstacle']}" if variant["obstacle"] else "could run here"
        yield f"variant {variant['name']}: needs {needs}; {note}"
    if told["obstacle"] and not told["variants"]:
        yield f"cannot run here: {told['obstacle']}"


def _metadata(name: str) -> Any:
    from aotrun.library.model import Model

    with Model(bundle.HERE, model_path(name), device=None, runners=1, threads=0) as model:
        return model.description


def _about(document: Mapping[str, Any], build: Mapping[str, Any]) -> Iterator[str]:
    if document:
        backend, runtime = document.get("backend", "unknown"), document.get("runtime", "unknown")
        yield f"backend   {backend}, runtime {runtime}, torch {document.get('torch', {}).get('version', 'unknown')}"
        floors = {key: value for key, value in document.get("floors", {}).items() if value}
        for key, value in floors.items():
            yield f"needs     {key} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        sizes: Dict[str, int] = {}
        for record in document.get("files", []):
            sizes[record["part"]] = sizes.get(record["part"], 0) + record.get("size", 0)
        parts = sorted(sizes.items(), key=lambda item: -item[1])
        yield "size      " + ", ".join(f"{part} {size / 1e6:.1f} MB" for part, size in parts if size >= 50_000)
    yield f"bridge    API {build['api_version']}, {build['compiler']}, runtime {build['runtime']}"
    yield f"machine   {build['machine']}, {build['cpu']}"


def _dim(dim: Any) -> str:
    if isinstance(dim, dict):
        return f"{dim['symbol']}:{dim.get('min', 0)}..{'' if dim.get('max') is None else dim['max']}"
    return "?" if dim is None else str(dim)
