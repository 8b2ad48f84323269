"""What a .pt2 package is, from the package alone: torch is not imported, nothing is unpacked.

Packages of `aotpack export` describe themselves. For one made by plain PyTorch the description is put together from
AOTInductor's own keys and from the ELF file inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import msgspec
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from aotpack.elf.cpu_features import features_used
from aotpack.elf.facts import Elf, parse_elf
from aotpack.elf.symbols import imported_names
from aotpack.errors import DamagedError, ModelMismatchError
from aotpack.gpu import kernels
from aotpack.package.archive import Archive, open_archive
from aotpack.package.kinds import COMPILED_ENTRY, has_program
from aotpack.package.metadata import LIBRARY, SCHEMA, WEIGHTS, Floors, ModelMetadata, Variant
from aotpack.package.plain_inputs import inputs_of

#: AOTInductor's files within an archive: root folder, model name, file.
_SAMPLE_ENTRY = re.compile(r"[^/]+/aotpack/sample\.npz")

#: Names below `models/NAME/` of a bundle.
EXTERN_KERNELS = "extern_kernel_nodes.json"
SAMPLE = "sample.npz"
KERNELS = "kernels"
#: Generated code that is larger is not searched for what it says of its inputs.
_LARGEST_CODE = 32 * 1024 * 1024
_KERNEL_SUFFIXES = (".cubin", ".hsaco", ".fatbin", ".spv")

#: torch's names of vector instruction sets (key AOTI_CPU_ISA) -> CPU features, as the bridge has them
#: (bridge/src/package/metadata.cpp).
_ISA_FEATURES: Mapping[str, tuple[str, ...]] = {
    "AVX2": ("avx2", "fma", "f16c"),
    "AVX512": ("avx2", "fma", "f16c", "avx512f", "avx512dq", "avx512bw", "avx512vl"),
    "AVX512_VNNI": ("avx512_vnni",),
    "AMX_TILE": ("amx_tile", "amx_bf16", "amx_int8"),
}


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """One model of one package.

    Attributes:
        archive: the .pt2 file.
        name: the model's name inside the archive; torch calls a lone one `model`.
        metadata: the document that becomes `model.json`.
        members: (entry of the archive, name below `models/NAME/`) of everything a bundle takes.
        needed: libraries that its code asks for by name, that of all variants.
        shim_symbols: functions of AOTInductor's C shim that its code imports, sorted.
        imports: all symbols that its code imports, sorted.
        extern_ops: ops without a C shim, such as `torchvision::nms`; they run through libtorch's proxy executor.
    """

    archive: Path
    name: str
    metadata: ModelMetadata
    members: tuple[tuple[str, str], ...]
    needed: tuple[str, ...]
    shim_symbols: tuple[str, ...]
    imports: tuple[str, ...]
    extern_ops: tuple[str, ...]

    @property
    def needs_proxy(self) -> bool:
        """Whether libtorch's proxy executor must travel along."""
        return bool(self.extern_ops)


def read_model(path: Path, name: str | None = None) -> ModelInfo:
    """Read the package at `path`.

    An archive may hold several models. `name` chooses among them; a lone model is taken whatever `name` says.

    Raises:
        UsageError: there is no such file.
        DamagedError: it is no package, or a damaged or hostile one.
        ModelMismatchError: it is a package that a bundle cannot take.
    """
    with open_archive(path) as archive:
        chosen, files = _choose(archive, name)
        library = _library(archive, files)
        _refuse_unsupported(archive, files)
        with archive.open_seekable(files[library]) as stream:
            elf, imports = _read_library(stream, f"{path}: {library}")
            metadata = _metadata(archive, files, elf)
            forms = _variants(archive, files[library], metadata)
            if not metadata.has_signature and (used := features_used(stream)) is not None:
                # torch's own key says what Inductor vectorised for, not what the compiler made of it.
                metadata = msgspec.structs.replace(metadata, cpu_features=tuple(sorted(used)))
        code = files.get(f"{library.removesuffix('.so')}.cpp")
        if not metadata.has_signature and code is not None and archive.size(code) <= _LARGEST_CODE:
            inputs = inputs_of(archive.read(code).decode("utf-8", "replace"))
            metadata = msgspec.structs.replace(metadata, inputs=inputs)
        # torch's loader, too, looks for the ops beside the library, under its name.
        nodes = files.get(f"{library.removesuffix('.so')}.json")
        extern_ops = () if nodes is None else _extern_ops(archive, nodes)
        members = (*_members(archive, files, library), *((form.entry, form.variant.library) for form in forms))
        if forms:
            variants = (metadata.variants[0], *(form.variant for form in forms))
            metadata = msgspec.structs.replace(metadata, variants=variants)
        imports = tuple(sorted({*imports, *(name for form in forms for name in form.imports)}))
        needed = tuple(dict.fromkeys((*elf.needed, *(name for form in forms for name in form.elf.needed))))
        if nodes is not None and extern_ops:
            members = (*members, (nodes, EXTERN_KERNELS))
    return ModelInfo(
        archive=path,
        name=chosen,
        metadata=metadata,
        members=members,
        needed=needed,
        shim_symbols=tuple(symbol for symbol in imports if symbol.startswith("aoti_torch_")),
        imports=imports,
        extern_ops=extern_ops,
    )


@dataclass(frozen=True)
class _Form:
    """The code of a variant that torch does not know of."""

    variant: Variant
    entry: str
    elf: Elf
    imports: tuple[str, ...]


def _variants(archive: Archive, library: str, metadata: ModelMetadata) -> tuple[_Form, ...]:
    """All variants but the first, whose code is the package's own library."""
    forms = []
    for variant in metadata.variants[1:]:
        entry = f"{library.partition('/')[0]}/aotpack/{variant.library}"
        if entry not in archive.names:
            raise DamagedError(
                f"{archive.path}: there is no {variant.library}, the code of its variant {variant.name}",
                meaning="the package is incomplete, or another tool has written it again",
                fix="export the model again, or copy the package again",
            )
        with archive.open_seekable(entry) as stream:
            elf, imports = _read_library(stream, f"{archive.path}: {variant.library}")
        floors = Floors(glibc=elf.floor("GLIBC"), glibcxx=elf.floor("GLIBCXX"))
        forms.append(_Form(msgspec.structs.replace(variant, floors=floors), entry, elf, imports))
    return tuple(forms)


def _choose(archive: Archive, wanted: str | None) -> tuple[str, dict[str, str]]:
    """The model's name and its files: name below the model's folder -> entry of the archive."""
    models: dict[str, dict[str, str]] = {}
    for entry in archive.names:
        if match := COMPILED_ENTRY.fullmatch(entry):
            models.setdefault(match[1], {})[match[2]] = entry
    if not models:
        exported = has_program(archive)
        raise ModelMismatchError(
            f"{archive.path}: there is no compiled model in this archive",
            meaning="it holds a graph saved by torch.export.save" if exported else "it was not made by AOTInductor",
            fix="aotpack export FILE.py:FUNCTION --output MODEL.pt2 (or torch._inductor.aoti_compile_and_package)",
        )
    if len(models) == 1:
        return next(iter(models.items()))
    if wanted in models:
        return wanted, models[wanted]
    raise ModelMismatchError(
        f"{archive.path}: the archive holds {len(models)} models: {', '.join(models)}",
        meaning="a bundle's model is one of them; its name in the bundle chooses",
        fix=" ".join(f"--model {model}={archive.path}" for model in models),
    )


def _library(archive: Archive, files: Mapping[str, str]) -> str:
    """The file that is the model's code."""
    libraries = [file for file in files if file.endswith(".so")]
    if len(libraries) == 1:
        return libraries[0]
    # Triton on the CPU adds libraries of its kernels; the wrapper is the model.
    wrappers = [file for file in libraries if file.endswith(".wrapper.so")]
    if len(wrappers) == 1:
        return wrappers[0]
    sources = [file for file in files if file.endswith(".cpp")]
    raise ModelMismatchError(
        f"{archive.path}: there is no model.so inside, only {len(sources)} C++ files"
        if sources and not libraries
        else f"{archive.path}: {len(libraries)} libraries inside, and none is the model's for certain",
        meaning="the package was made with package_cpp_only: its code has not been compiled"
        if sources and not libraries
        else "the package is incomplete, or was made by a torch that aotpack does not know",
        fix="export the model again without package_cpp_only, for example with aotpack export",
    )


def _refuse_unsupported(archive: Archive, files: Mapping[str, str]) -> None:
    if "weights_config.json" in files:
        raise ModelMismatchError(
            f"{archive.path}: the weights are pickled tensors",
            meaning="only Python's torch can load them; a bundle maps its weights from one blob",
            fix="export with aotpack export (or with package_constants_on_disk_format='binary_blob')",
        )
    if any("/data/constants/custom_obj" in entry for entry in archive.names):
        raise ModelMismatchError(
            f"{archive.path}: the model holds TorchBind objects",
            meaning="they are C++ classes of some extension, which a bundle cannot carry",
            fix="export the model without them, for example with plain tensors as buffers",
        )


def _read_library(stream: IO[bytes], where: str) -> tuple[Elf, tuple[str, ...]]:
    try:
        elf = parse_elf(stream)
        stream.seek(0)
        imports = imported_names(ELFFile(stream))
    except (ValueError, ELFError) as error:
        raise DamagedError(
            f"{where}: {error}", meaning="the model's code is not a whole library", fix="export the model again"
        ) from error
    return elf, imports


def _json_object(archive: Archive, entry: str) -> dict[str, Any]:
    try:
        document = json.loads(archive.read(entry))
    except (ValueError, RecursionError) as error:
        raise _malformed(archive.path, entry, error) from error
    if not isinstance(document, dict):
        raise _malformed(archive.path, entry, "not an object")
    return document


def _malformed(path: Path, entry: str, reason: object) -> DamagedError:
    return DamagedError(
        f"{path}: {PurePosixPath(entry).name}: {reason}",
        meaning="what the package says about itself cannot be read",
        fix="export the model again",
    )


def _metadata(archive: Archive, files: Mapping[str, str], elf: Elf) -> ModelMetadata:
    """Our document when there is one; in any case with what the ELF file itself proves."""
    documents = sorted(file for file in files if file.endswith("_metadata.json"))
    documents.sort(key=lambda file: not file.endswith(".wrapper_metadata.json"))
    if not documents:
        raise DamagedError(
            f"{archive.path}: there is no *_metadata.json beside the model",
            meaning="the package is incomplete, or older than torch 2.6",
            fix="export the model again",
        )
    entry = files[documents[0]]
    keys = _json_object(archive, entry)
    own = keys.get("aotpack")
    try:
        metadata = _plain(keys, _kernels(archive, files)) if own is None else _own(archive.path, entry, own)
    except ValueError as error:
        raise _malformed(archive.path, entry, error) from error
    return msgspec.structs.replace(
        metadata, machine=elf.machine, floors=Floors(glibc=elf.floor("GLIBC"), glibcxx=elf.floor("GLIBCXX"))
    )


def _own(path: Path, entry: str, text: object) -> ModelMetadata:
    try:
        metadata = msgspec.json.decode(text if isinstance(text, str) else b"", type=ModelMetadata)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _malformed(path, entry, error) from error
    if metadata.schema > SCHEMA:
        raise ModelMismatchError(
            f"{path}: metadata of schema {metadata.schema}, made by aotpack {metadata.aotpack_version}",
            meaning=f"this aotpack reads schema {SCHEMA}",
            fix="pip install --upgrade aotpack, or export the model again",
        )
    return metadata


def _kernels(archive: Archive, files: Mapping[str, str]) -> tuple[str, ...]:
    """What kernels for several GPUs have code for: torch's key names the GPU that it was compiled on. None: nothing."""
    several = {file: entry for file, entry in files.items() if file.endswith(kernels.SUFFIXES)}
    try:
        return kernels.common((file, archive.read(entry)) for file, entry in several.items())
    except ValueError as error:
        raise DamagedError(
            f"{archive.path}: a kernel cannot be read: {error}",
            meaning="the package is damaged, or has GPU code of a sort that aotpack does not know",
            fix="export the model again",
        ) from error


def _plain(keys: Mapping[str, Any], gpu_archs: tuple[str, ...]) -> ModelMetadata:
    """From AOTInductor's own keys. They say nothing of the signature, torch's version or `-march`."""
    capability = str(keys.get("AOTI_COMPUTE_CAPABILITY") or "")
    device = str(keys.get("AOTI_DEVICE_KEY") or "cpu")
    if capability.startswith("gfx"):
        device = "rocm"
    own = (f"sm_{capability}" if capability[0].isdigit() else capability,) if capability else ()
    features = (each for isa in str(keys.get("AOTI_CPU_ISA") or "").split() for each in _ISA_FEATURES.get(isa, ()))
    return ModelMetadata(
        has_signature=False, device=device, cpu_features=tuple(dict.fromkeys(features)), gpu_archs=gpu_archs or own
    )


def _extern_ops(archive: Archive, entry: str) -> tuple[str, ...]:
    document = _json_object(archive, entry)
    try:
        return tuple(dict.fromkeys(str(node["node"]["target"]) for node in document["nodes"]))
    except (KeyError, TypeError) as error:
        raise _malformed(archive.path, entry, f"no list of ops ({error})") from error


def _members(archive: Archive, files: Mapping[str, str], library: str) -> list[tuple[str, str]]:
    members = [(files[library], LIBRARY)]
    for file, entry in files.items():
        base = PurePosixPath(file).name
        if file.endswith("_weights.blob") and archive.size(entry):
            members.append((entry, WEIGHTS))
        elif file.endswith(_KERNEL_SUFFIXES) or (file.endswith(".so") and file != library):
            members.append((entry, f"{KERNELS}/{base}"))
    members += [(entry, SAMPLE) for entry in archive.names if _SAMPLE_ENTRY.fullmatch(entry)]
    return members
