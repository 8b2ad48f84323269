"""AP4xx: models against torch, bundle and machine."""

from __future__ import annotations

from typing import Iterator, Sequence, Union

from aotpack_doctor.base import versions
from aotpack_doctor.base.gpu_code import runs_cuda, runs_rocm
from aotpack_doctor.base.places import MODELS
from aotpack_doctor.facts import HostFacts, Model, Variant
from aotpack_doctor.findings.finding import Finding, Kind, Severity
from aotpack_doctor.findings.registry import check
from aotpack_doctor.reading.host import plain_feature

UNREADABLE = Kind(
    "AP401",
    Severity.ERROR,
    "The model cannot be read",
    "It is not a compiled AOTInductor package, or it is damaged.",
    5,
)
NEWER_TORCH = Kind(
    "AP402",
    Severity.ERROR,
    "The model was compiled by a newer torch",
    "A newer torch may call functions that this one does not have; the other way round is safe.",
    5,
)
MACHINE = Kind(
    "AP403",
    Severity.ERROR,
    "The model is for another type of machine",
    "Compiled code runs only on the processor family that it was compiled for.",
    5,
)
ISA = Kind(
    "AP404",
    Severity.ERROR,
    "The model uses CPU instructions that this machine lacks",
    "The process would be killed with `Illegal instruction` at the first of them.",
    7,
)
DEVICE = Kind(
    "AP405",
    Severity.ERROR,
    "The model is for another backend",
    "A model is compiled for one kind of device and cannot be moved to another afterwards.",
    5,
)
GPU_ARCH = Kind(
    "AP406",
    Severity.ERROR,
    "The model's GPU code does not run on this GPU",
    "Kernels are compiled for the GPU on which the model was exported, unless more were asked for.",
    5,
)
PROXY = Kind(
    "AP407",
    Severity.INFO,
    "The model calls operators that have no C interface",
    "They run through libtorch's proxy executor, so the bundle needs the full runtime.",
    5,
)
CUSTOM_OPS = Kind(
    "AP408",
    Severity.WARNING,
    "The model calls operators of another library",
    "libtorch does not have them; the library that registers them must be loaded before the model.",
    5,
)
UNDESCRIBED = Kind(
    "AP409",
    Severity.INFO,
    "The model does not describe itself",
    "It was made by plain PyTorch: names, shapes and torch's version are not recorded, so inputs cannot be checked.",
    5,
)
FLOOR = Kind(
    "AP410",
    Severity.ERROR,
    "The model needs a newer libc or libstdc++ than it will meet",
    "It was compiled on a newer system; the loader refuses it on an older one unless the bundle brings both along.",
    7,
)
MISSING_SYMBOL = Kind(
    "AP411",
    Severity.ERROR,
    "The runtime lacks a function that the model calls",
    "The model was compiled for another runtime or a newer torch than it is run with.",
    5,
)

GPU_MEMORY = Kind(
    "AP412",
    Severity.ERROR,
    "The model does not fit into the GPU's memory",
    "Weights, outputs and what the kernels need in between must fit at once, beside whatever else uses the GPU.",
    7,
)

_EXPORT = "aotpack export FILE.py:FUNCTION --output MODEL.pt2"


def _readable(facts: HostFacts) -> Iterator[Model]:
    return (model for model in facts.models if model.problem is None)


@check(UNREADABLE)
def readable(facts: HostFacts) -> Iterator[Finding]:
    for model in facts.models:
        if model.problem is not None:
            yield UNREADABLE.found(model.problem, _EXPORT)


@check(NEWER_TORCH)
def torch_version(facts: HostFacts) -> Iterator[Finding]:
    mine = facts.bundle.torch_version if facts.bundle else facts.torch.version if facts.torch else None
    for model in _readable(facts):
        if mine and model.torch_version and versions.key(mine)[:2] < versions.key(model.torch_version)[:2]:
            yield NEWER_TORCH.found(
                f"{model.name} was compiled by torch {model.torch_version}, it is to run with {mine}",
                f"aotpack init --backend {facts.backend} --torch {model.torch_version.split('+')[0]}",
                f"{_EXPORT}   # with torch {mine}",
            )


@check(MACHINE)
def machine(facts: HostFacts) -> Iterator[Finding]:
    target = facts.bundle.machine if facts.bundle and facts.bundle.machine else facts.host.machine
    for model in _readable(facts):
        if model.machine and model.machine != target:
            yield MACHINE.found(f"{model.name} is for {model.machine}, this is {target}", f"{_EXPORT}   # on {target}")


@check(ISA)
def isa(facts: HostFacts) -> Iterator[Finding]:
    if facts.host.cpu_features is None:
        return
    have = {plain_feature(name) for name in facts.host.cpu_features}
    for model in _readable(facts):
        lacking = [name for name in model.cpu_features if plain_feature(name) not in have]
        if lacking and model.machine in (None, facts.host.machine):
            yield ISA.found(
                f"{model.name} uses {', '.join(lacking)}; {facts.host.cpu_model or 'this CPU'} has none of them"
                if len(lacking) > 1
                else f"{model.name} uses {lacking[0]}; {facts.host.cpu_model or 'this CPU'} does not have it",
                f"{_EXPORT} --cpu-isa portable",
                severity=Severity.ERROR if facts.runs_here else Severity.WARNING,
            )


@check(DEVICE)
def device(facts: HostFacts) -> Iterator[Finding]:
    for model in _readable(facts):
        # A model for the CPU runs in a bundle of any backend.
        if model.device not in ("cpu", facts.backend):
            yield DEVICE.found(
                f"{model.name} is for {model.device}, the backend is {facts.backend}",
                f"aotpack build --backend {model.device} --model {model.name} ...",
                f"{_EXPORT} --device {'cpu' if facts.backend == 'cpu' else 'cuda'}",
            )


@check(GPU_ARCH)
def gpu_arch(facts: HostFacts) -> Iterator[Finding]:
    for model in _readable(facts):
        archs = _gpu_code(model, facts.backend)
        for gpu in facts.gpus:
            if gpu.arch is None or not archs:
                continue
            if facts.backend == "cuda":
                runs: bool | None = runs_cuda(gpu.arch, archs) is not None
            else:
                runs = runs_rocm(gpu.arch, archs)
            if runs is False:
                # One that has a form for the CPU runs as that.
                is_bound = model.device != "cpu" and facts.runs_here
                yield GPU_ARCH.found(
                    f"{model.name} has code for {', '.join(archs)}; {gpu.name or 'this GPU'} is {gpu.arch}",
                    f"{_EXPORT} --device {facts.backend} --arch {','.join([*_gpus(archs), gpu.arch])}",
                    severity=Severity.ERROR if is_bound else Severity.WARNING,
                )


def _gpu_code(model: Model, backend: str) -> tuple[str, ...]:
    """What a model, or all of its variants together, have code for; nothing where that is not for the backend."""
    forms: Sequence[Union[Model, Variant]] = model.variants or (model,)
    return tuple(dict.fromkeys(arch for form in forms if form.device == backend for arch in form.gpu_archs))


def _gpus(archs: tuple[str, ...]) -> list[str]:
    """The GPUs that machine code is called after."""
    return [arch.split(":")[0].rstrip("af") if arch.startswith("sm_") else arch for arch in archs if arch[:3] != "com"]


@check(PROXY, CUSTOM_OPS)
def operators(facts: HostFacts) -> Iterator[Finding]:
    for model in _readable(facts):
        if model.custom_ops:
            yield CUSTOM_OPS.found(
                f"{model.name} calls {', '.join(model.custom_ops)}",
                "load the library that registers them before the model, or export the model without them",
            )
        elif model.needs_proxy:
            yield PROXY.found(f"{model.name}", "aotpack build --runtime full ...")


@check(UNDESCRIBED)
def described(facts: HostFacts) -> Iterator[Finding]:
    for model in _readable(facts):
        if not model.described:
            yield UNDESCRIBED.found(model.name, _EXPORT)


@check(GPU_MEMORY)
def gpu_memory(facts: HostFacts) -> Iterator[Finding]:
    largest = max((gpu.memory or 0 for gpu in facts.gpus), default=0)
    if facts.bundle is None or not largest or any(gpu.memory is None for gpu in facts.gpus):
        return
    for model in _readable(facts):
        start = f"{MODELS}/{model.name}/"
        size = sum(size for path, _part, size in facts.bundle.sizes if path.startswith(start))
        if model.device == facts.backend and size > largest:
            yield GPU_MEMORY.found(
                f"{model.name} has {size / 1e9:.1f} GB of weights and code; the GPU has {largest / 1e9:.1f} GB",
                "nvidia-smi   # what the GPU has" if facts.backend == "cuda" else "rocm-smi --showmeminfo vram",
                f"{_EXPORT}   # in bfloat16, or in smaller parts",
            )


@check(FLOOR)
def floors(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle is not None and facts.bundle.libc == "bundled":
        return
    host = facts.host
    for model in _readable(facts):
        for name, floor, mine in (
            ("glibc", model.glibc, host.libc_version),
            ("GLIBCXX", model.glibcxx, host.libstdcxx),
        ):
            if floor and mine and versions.older(mine, floor):
                yield FLOOR.found(
                    f"{model.name} needs {name} {floor}, this machine has {mine}",
                    "aotpack build --portable --libc bundled ...   # brings libc and libstdc++ along",
                    severity=Severity.ERROR if facts.runs_here else Severity.WARNING,
                )


@check(MISSING_SYMBOL)
def symbols(facts: HostFacts) -> Iterator[Finding]:
    for model in _readable(facts):
        if model.missing_symbols:
            yield MISSING_SYMBOL.found(
                f"{model.name} calls {', '.join(model.missing_symbols)}", "aotpack build --runtime full ...", _EXPORT
            )
