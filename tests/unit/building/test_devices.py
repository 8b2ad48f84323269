"""Packages of one model for several devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aotpack.building.devices import as_variants
from aotpack.building.request import NamedModel
from aotpack.errors import ModelMismatchError
from aotpack.package.metadata import ModelMetadata, TensorSpec, Variant
from aotpack.package.model import ModelInfo


def package(name: str, file: str, **metadata: Any) -> tuple[NamedModel, ModelInfo]:
    described = ModelMetadata(**{"inputs": (TensorSpec("x", "float32", (2,)),), **metadata})
    empty: dict[str, Any] = dict.fromkeys(("members", "needed", "shim_symbols", "imports", "extern_ops"), ())
    info = ModelInfo(archive=Path(file), name="model", metadata=described, **empty)
    return NamedModel(name, Path(file)), info


CUDA: dict[str, Any] = {"device": "cuda", "gpu_archs": ("sm_90",)}


def test_models_of_their_own_names_stay_apart() -> None:
    given = [package("a", "a.pt2"), package("b", "b.pt2", **CUDA)]
    assert as_variants(given) == tuple((named.name, info) for named, info in given)


def test_the_cpu_s_package_is_the_model_and_the_gpu_s_lies_in_a_folder_of_it() -> None:
    cuda, cpu = package("m", "cuda.pt2", **CUDA), package("m", "cpu.pt2", cpu_features=("sse4_1",))
    (name, model), (place, variant) = as_variants([cuda, cpu])
    assert (name, model.archive, place, variant) == ("m", Path("cpu.pt2"), "m/cuda-sm_90", cuda[1])
    assert model.metadata.device == "cpu"
    assert model.metadata.variants == (
        Variant("cpu", cpu_features=("sse4_1",)),
        Variant("cuda-sm_90", folder="cuda-sm_90", device="cuda", gpu_archs=("sm_90",)),
    )


def test_the_cpu_s_variants_come_first() -> None:
    forms = (Variant("baseline"), Variant("avx2", "model.avx2.so", cpu_features=("avx2",)))
    (_, model), _ = as_variants([package("m", "cpu.pt2", variants=forms), package("m", "cuda.pt2", **CUDA)])
    assert model.metadata.variants[:2] == forms
    assert [each.name for each in model.metadata.variants] == ["baseline", "avx2", "cuda-sm_90"]


def test_several_gpus_without_a_cpu() -> None:
    old, new = package("m", "70.pt2", device="cuda", gpu_archs=("sm_70",)), package("m", "90.pt2", **CUDA)
    (_, model), (place, _) = as_variants([old, new])
    assert [each.name for each in model.metadata.variants] == ["cuda-sm_70", "cuda-sm_90"]
    assert [each.folder for each in model.metadata.variants] == ["", "cuda-sm_90"]
    assert place == "m/cuda-sm_90"


def test_a_variant_is_called_after_its_machine_code() -> None:
    archs = ("sm_80", "compute_80", "sm_90")
    _, (place, _) = as_variants([package("m", "cpu.pt2"), package("m", "cuda.pt2", device="cuda", gpu_archs=archs)])
    assert place == "m/cuda-sm_80-sm_90"


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({**CUDA, "inputs": ()}, "takes or returns something else than cpu.pt2"),
        ({**CUDA, "has_signature": False}, "made by plain PyTorch"),
        ({}, "the model m has a package for cpu already"),
    ],
)
def test_packages_that_are_not_of_one_model_are_refused(other: dict[str, Any], what: str) -> None:
    with pytest.raises(ModelMismatchError, match=what) as caught:
        as_variants([package("m", "cpu.pt2"), package("m", "other.pt2", **other)])
    assert "--model OTHER=other.pt2" in caught.value.fix
