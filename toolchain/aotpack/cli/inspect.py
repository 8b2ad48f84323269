"""`aotpack inspect`: what is this? A .pt2, a bundle, an ELF file or an environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aotpack.bundle.entries import Part
from aotpack.cli import console
from aotpack.errors import UsageError
from aotpack.gpu.archs import PTX
from aotpack.package.metadata import ModelMetadata, TensorSpec

if TYPE_CHECKING:
    from aotpack.bundle.manifest import Bundle as Description
    from aotpack.elf.facts import Elf
    from aotpack.environment.torch import TorchInfo
    from aotpack.package.model import ModelInfo


@click.command(
    epilog="""\b
Examples:
  aotpack inspect mlp.pt2           what the model is, asks for and imports
  aotpack inspect dist/mlp          what the bundle holds, by part
  aotpack inspect dist/mlp --sbom   what it is made of: versions, suppliers, licences (--json: CycloneDX)
  aotpack inspect dist/mlp --sbom --format spdx      the same as SPDX 2.3 in JSON
  aotpack inspect dist/mlp.aot      the same of a single file
  aotpack inspect .venv             which torch that is, and why that one
  aotpack inspect libfoo.so         what the loader reads of it
"""
)
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--sbom", "show_sbom", is_flag=True, help="Show a bundle's bill of materials.")
@click.option("--format", "form", type=click.Choice(["cyclonedx", "spdx"]), help="With --sbom: as such a document.")
@console.json_option
@console.common_options
def command(path: Path, show_sbom: bool, form: str | None, as_json: bool) -> None:
    """Show what a .pt2, a bundle, an ELF file or a venv is."""
    if form is not None and not show_sbom:
        raise UsageError(
            f"--format {form} without --sbom",
            meaning="it is the form of a bill of materials",
            fix=f"aotpack inspect {path} --sbom --format {form}",
        )
    if form == "spdx":
        from aotpack.materials import spdx
        from aotpack.release.dates import release_date

        console.print_json(spdx.bill(path, release_date()))
        return
    if show_sbom:
        _sbom(path, as_json=as_json or form is not None)
        return
    from aotpack.api.bundles import Bundle
    from aotpack.api.inspection import inspect
    from aotpack.api.packages import Package
    from aotpack.elf.facts import Elf

    thing = inspect(path)
    if isinstance(thing, Bundle):
        document, show = _bundle(path, thing.description)
    elif isinstance(thing, Package):
        document, show = _model(path, thing.info)
    elif isinstance(thing, Elf):
        document, show = _elf(path, thing)
    else:
        document, show = _environment(path, thing)
    if as_json:
        console.print_json({"schema": 1, **document})
    else:
        for line in show:
            console.tell(line)


def _sbom(path: Path, *, as_json: bool) -> None:
    from aotpack.materials import sbom

    document = sbom.read(path)
    if as_json:
        console.print_json(document)  # CycloneDX has a version of its own
        return
    rows = []
    for entry in document.get("components", []):
        files = len(entry.get("components", []))
        if entry["type"] not in ("machine-learning-model", "data"):
            terms = sbom.licenses_of({"components": [entry]}) or "not known"
            supplier = entry.get("supplier", {}).get("name", "")
            rows.append([entry["name"], entry.get("version", ""), terms, supplier, str(files)])
    console.table(f"{path}: made of", ["component", "version", "licence", "supplier", "files"], rows)


Shown = tuple[dict[str, Any], list[str]]


def _bundle(path: Path, bundle: Description) -> Shown:
    import msgspec

    kind = "portable" if bundle.portable else "development"
    total = sum(bundle.sizes().values())
    about = f"{bundle.backend}, {bundle.runtime} runtime, torch {bundle.torch.version}"
    lines = [
        f"{path}: {kind} bundle, {about}, {console.human_size(total)}",
        f"  built by aotpack {bundle.aotpack} on {bundle.built_on.system}, {bundle.built_on.compiler}",
        f"  libc {bundle.libc}, Python {bundle.python}",
    ]
    lines += [f"  {size:>14,} B  {part}" for part, size in bundle.sizes().items()]
    floors = {key: value for key, value in msgspec.to_builtins(bundle.floors).items() if value}
    lines += [f"  asks for {key.replace('_', ' ')}: {_words(value)}" for key, value in floors.items()]
    if bundle.gpu_archs:
        lines.append(f"  GPU code for {_gpu_code(bundle.gpu_archs)}")
    if bundle.host_libraries:
        lines.append(f"  the target provides {', '.join(bundle.host_libraries)}")
    for record in bundle.files:
        if record.part == Part.ASSETS.value:
            lines.append(f"  asset {record.path.partition('/')[2]}, {record.size:,} B")
    for name, model in bundle.models.items():
        lines.append(f"  model {name}")
        lines += [f"    {key} = {value!r}" for key, value in model.metadata.items()]
        lines += [f"    {line}" for line in (*_signature(model), *_variants(model))]
    return {"kind": "bundle", "bundle": msgspec.to_builtins(bundle)}, lines


def _words(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list | tuple) else str(value)


def _gpu_code(archs: tuple[str, ...]) -> str:
    """Architectures, with a word about those of PTX."""
    return ", ".join(f"{arch} (PTX, for newer GPUs)" if arch.startswith(PTX) else arch for arch in archs)


def _environment(path: Path, torch: TorchInfo) -> Shown:
    lines = [
        f"{path}: torch {torch.label}",
        f"  root       {torch.root}",
        f"  Python     {torch.python_version or 'none'} {torch.python or ''}".rstrip(),
        f"  C++ ABI    {'CXX11' if torch.cxx11_abi else 'pre-CXX11'}",
        *(f"  libraries  {folder}" for folder in torch.lib_dirs),
        *(f"  {seen.source}: {seen.path}: {seen.remark}" for seen in torch.candidates),
    ]
    return {"kind": "environment", "torch": torch.document()}, lines


def _elf(path: Path, facts: Elf) -> Shown:
    import msgspec

    search = facts.rpath or facts.runpath
    lines = [
        f"{path}: ELF for {facts.machine}",
        f"  soname   {facts.soname or 'none'}",
        f"  {'RPATH' if facts.rpath else 'RUNPATH'}{'  ' if facts.rpath else ''}  {':'.join(search) or 'none'}",
        *(f"  needs    {soname}" for soname in facts.needed),
        *(f"  floor    {prefix} {facts.floor(prefix)}" for prefix in ("GLIBC", "GLIBCXX") if facts.floor(prefix)),
    ]
    if facts.executable_stack:
        lines.append("  asks for an executable stack")
    return {"kind": "elf", "elf": msgspec.to_builtins(facts)}, lines


def _model(path: Path, model: ModelInfo) -> Shown:
    import msgspec

    from aotpack.runtime.slim_table import judge

    known = model.metadata
    maker = f"aotpack {known.aotpack_version}" if known.aotpack_version else "plain PyTorch"
    made_by = f"made by {maker}, torch {known.torch_version or 'unknown'}"
    lines = [
        f"{path}: model for {known.device} on {known.machine}, {made_by}",
        *(f"  {line}" for line in _signature(known)),
        f"  CPU features    {_words(known.cpu_features) or 'baseline'}",
        *(f"  {line}" for line in _variants(known)),
        f"  glibc floor     {known.floors.glibc or 'none'}",
        f"  GLIBCXX floor   {known.floors.glibcxx or 'none'}",
    ]
    if known.gpu_archs:
        lines.append(f"  GPU code        {_gpu_code(known.gpu_archs)}")
    lines += [f"  op without shim {op}" for op in model.extern_ops]
    verdict = judge(model.imports)
    unserved = {function.name: function.note for function in verdict.unserved}
    lines.append(
        f"  slim runtime    {'serves it' if verdict.served and not model.needs_proxy else 'does not serve it'}"
    )
    lines += [
        f"    {symbol}{f': not served, {unserved[symbol]}' if symbol in unserved else ''}"
        for symbol in model.shim_symbols
    ]
    document = {
        "kind": "model",
        "model": msgspec.to_builtins(known),
        "imports": list(model.shim_symbols),
        "extern_ops": list(model.extern_ops),
        "slim": {"served": verdict.served and not model.needs_proxy, "unserved": unserved},
    }
    return document, lines


def _variants(model: ModelMetadata) -> list[str]:
    """What each asks for, the least demanding first; nothing of a model with one form."""
    return [
        f"variant {each.name}{'' if each.device == 'cpu' else f' ({each.device} {_gpu_code(each.gpu_archs)})'}: "
        f"{_words(each.cpu_features) or 'any CPU'}"
        for each in model.variants
    ]


def _signature(model: ModelMetadata) -> list[str]:
    rows = [("input", spec) for spec in model.inputs] + [("output", spec) for spec in model.outputs]
    lines = [f"{kind:<6} {spec.words}{_note(spec)}" for kind, spec in rows]
    lines += [f"guard  {guard.text}" for guard in model.guards]
    lines += model.layer_lines
    if not model.has_signature:
        lines.append("made by plain PyTorch, which records no names, no outputs, and no conditions on sizes")
    return lines


def _note(spec: TensorSpec) -> str:
    return " (written in place)" if spec.mutated else ""
