"""Reading packages: ours, plain PyTorch's, and those that a bundle cannot take. The ELF file is some real library."""

from __future__ import annotations

import json
import platform
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from aotpack.cli import group
from aotpack.elf.facts import read_elf
from aotpack.errors import AotpackError, DamagedError, ModelMismatchError
from aotpack.gpu.fatbin import Kind
from aotpack.package.metadata import DynamicDim, ModelMetadata, TensorSpec, Variant
from aotpack.package.model import read_model
from aotpack_doctor.reading.models import custom
from tests.support.cases import cases
from tests.support.doubles.fatbins import Piece, region

LIBRARY = Path(msgspec._core.__file__)
FOLDER = "m/data/aotinductor/model"
KEYS = {"AOTI_DEVICE_KEY": "cpu", "AOTI_MACHINE": "x86_64", "AOTI_CPU_ISA": "AVX512 AVX512_VNNI"}


def package(path: Path, *, keys: dict[str, Any] | None = None, without: str = "", **more: bytes) -> Path:
    """A package of AOTInductor's layout; `more` adds entries, `__` in a key standing for a dot."""
    entries = {
        "m/archive_format": b"pt2",
        f"{FOLDER}/abc.wrapper.cpp": b"int main;",
        f"{FOLDER}/abc.wrapper.so": LIBRARY.read_bytes(),
        f"{FOLDER}/abc.wrapper_metadata.json": json.dumps({**KEYS, **(keys or {})}).encode(),
        f"{FOLDER}/abc.wrapper_weights.blob": b"w" * 64,
    }
    entries = {name: data for name, data in entries.items() if not (without and name.endswith(without))}
    entries |= {name.replace("__", "."): data for name, data in more.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def refusal(kind: type[AotpackError], path: Path, name: str | None = None) -> AotpackError:
    with pytest.raises(kind) as caught:
        read_model(path, name)
    assert all((caught.value.what, caught.value.meaning, caught.value.fix))
    return caught.value


@pytest.mark.parametrize(
    ("used", "features"),
    [
        (frozenset({"fma", "avx"}), ("avx", "fma")),
        (frozenset(), ()),
        # Where code cannot be read, torch's word for what it vectorised for.
        (None, ("avx2", "fma", "f16c", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_vnni")),
    ],
)
def test_cpu_features_of_plain_pytorch_are_those_of_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: frozenset[str] | None, features: tuple[str, ...]
) -> None:
    monkeypatch.setattr("aotpack.package.model.features_used", lambda file: used)
    assert read_model(package(tmp_path / "m.pt2")).metadata.cpu_features == features


def test_plain_pytorch(tmp_path: Path) -> None:
    model = read_model(package(tmp_path / "m.pt2"))
    elf = read_elf(LIBRARY)
    assert model.name == "model"
    assert model.needed == elf.needed
    assert model.metadata.has_signature is False
    assert model.metadata.machine == platform.machine()
    assert model.metadata.floors.glibc == elf.floor("GLIBC")
    assert "PyObject_GetAttr" in model.imports
    assert model.shim_symbols == ()
    assert not model.needs_proxy
    assert dict(model.members) == {
        f"{FOLDER}/abc.wrapper.so": "model.so",
        f"{FOLDER}/abc.wrapper_weights.blob": "weights.blob",
    }


def test_our_own_document_wins_but_the_elf_file_is_believed_over_it(tmp_path: Path) -> None:
    own = ModelMetadata(
        inputs=(TensorSpec("x", "float32", (DynamicDim("batch", 1, 8), 64)),),
        outputs=(TensorSpec("y", "float32", (None, 2)),),
        machine="riscv64",
        cpu_features=("avx2",),
        aotpack_version="0.1.0",
    )
    model = read_model(package(tmp_path / "m.pt2", keys={"aotpack": msgspec.json.encode(own).decode()}))
    assert model.metadata.inputs == own.inputs
    assert model.metadata.outputs == own.outputs
    assert model.metadata.cpu_features == ("avx2",)
    assert model.metadata.machine == platform.machine()
    assert model.metadata.floors.glibc == read_elf(LIBRARY).floor("GLIBC")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"inputs": 3}', '{"inputs": [{"name": "x"}]}', 7, "\ud800", '{"x":' * 100_000]
)
def test_a_malformed_document_of_ours(tmp_path: Path, text: object) -> None:
    refusal(DamagedError, package(tmp_path / "m.pt2", keys={"aotpack": text}))


def test_a_document_of_a_newer_aotpack(tmp_path: Path) -> None:
    path = package(tmp_path / "m.pt2", keys={"aotpack": '{"schema": 99, "aotpack_version": "9.0"}'})
    assert "9.0" in refusal(ModelMismatchError, path).what


@pytest.mark.parametrize(
    ("key", "capability", "isa", "device", "archs", "features"), cases("aoti_keys_cases.inc", "AOTI_KEYS")
)
def test_torch_s_keys(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    capability: str,
    isa: str,
    device: str,
    archs: str,
    features: str,
) -> None:
    monkeypatch.setattr("aotpack.package.model.features_used", lambda file: None)
    keys = {"AOTI_DEVICE_KEY": key, "AOTI_COMPUTE_CAPABILITY": capability, "AOTI_CPU_ISA": isa}
    metadata = read_model(package(tmp_path / "m.pt2", keys=keys)).metadata
    assert metadata.device == device
    assert metadata.gpu_archs == tuple(archs.split())
    assert metadata.cpu_features == tuple(features.split())


def test_kernels_travel_along(tmp_path: Path) -> None:
    keys = {"AOTI_DEVICE_KEY": "cuda", "AOTI_COMPUTE_CAPABILITY": "90"}
    kernels = {f"{FOLDER}/k1__cubin": b"c", f"{FOLDER}/k2__hsaco": b"h"}
    model = read_model(package(tmp_path / "m.pt2", keys=keys, **kernels))
    assert {"kernels/k1.cubin", "kernels/k2.hsaco"} <= {name for _, name in model.members}


def test_kernels_for_several_gpus_tell_more_than_torch_s_key(tmp_path: Path) -> None:
    """What plain PyTorch makes with `emit_multi_arch_kernel`; the key names the GPU that compiled it."""
    keys = {"AOTI_DEVICE_KEY": "cuda", "AOTI_COMPUTE_CAPABILITY": "90"}
    both = {"k1__fatbin": region(Piece(80), Piece(80, kind=Kind.PTX), Piece(90)), "k2__fatbin": region(Piece(80))}
    kernels = {f"{FOLDER}/{name}": data for name, data in both.items()}
    assert read_model(package(tmp_path / "m.pt2", keys=keys, **kernels)).metadata.gpu_archs == ("sm_80",)
    kernels[f"{FOLDER}/k2__fatbin"] = b"no fatbin" * 9
    assert "a kernel cannot be read" in refusal(DamagedError, package(tmp_path / "m.pt2", keys=keys, **kernels)).what


@pytest.mark.parametrize(
    "arch", ["sm_x", "sm_9", "sm_90z", "compute_", "gfx90a/..", "", "..", "gfx90a:", "sm_429496729"]
)
def test_words_that_are_no_gpu(tmp_path: Path, arch: str) -> None:
    """They would be looked for among GPUs, and be names of folders."""
    own = {"device": "cuda", "gpu_archs": [arch]}
    keys = {"aotpack": json.dumps(own)}
    assert "no GPU that code can be for" in refusal(DamagedError, package(tmp_path / "own.pt2", keys=keys)).what
    keys = {"aotpack": json.dumps({"variants": [{"name": "cuda", **own}]})}
    assert "no GPU that code can be for" in refusal(DamagedError, package(tmp_path / "variant.pt2", keys=keys)).what


@pytest.mark.parametrize("capability", ["9", "90/..", "../x", "90:"])
def test_a_key_of_torch_s_that_is_no_gpu(tmp_path: Path, capability: str) -> None:
    keys = {"AOTI_DEVICE_KEY": "cuda", "AOTI_COMPUTE_CAPABILITY": capability}
    assert "no GPU that code can be for" in refusal(DamagedError, package(tmp_path / "m.pt2", keys=keys)).what


def test_inspect_says_what_ptx_is_for(tmp_path: Path) -> None:
    keys = {"AOTI_DEVICE_KEY": "cuda", "AOTI_COMPUTE_CAPABILITY": "90"}
    code = {f"{FOLDER}/k__fatbin": region(Piece(80), Piece(80, kind=Kind.PTX), Piece(90))}
    done = CliRunner().invoke(group, ["inspect", str(package(tmp_path / "m.pt2", keys=keys, **code))])
    assert "GPU code        sm_80, compute_80 (PTX, for newer GPUs), sm_90\n" in done.output


def test_ops_without_a_shim_and_the_sample(tmp_path: Path) -> None:
    nodes = {"nodes": [{"node": {"target": op}} for op in ("aten::_linalg_svd", "mine::op", "mine::op")]}
    extra = {f"{FOLDER}/abc__wrapper__json": json.dumps(nodes).encode(), "m/aotpack/sample__npz": b"npz"}
    model = read_model(package(tmp_path / "m.pt2", **extra))
    assert model.extern_ops == ("aten::_linalg_svd", "mine::op")
    assert custom(model.extern_ops) == ("mine::op",)
    assert model.needs_proxy
    assert {"extern_kernel_nodes.json", "sample.npz"} <= {name for _, name in model.members}


def test_an_empty_weights_blob_is_left_out(tmp_path: Path) -> None:
    path = package(tmp_path / "m.pt2", without="blob", **{f"{FOLDER}/abc__wrapper_weights__blob": b""})
    assert "weights.blob" not in dict(read_model(path).members).values()


def test_several_models_are_chosen_by_name(tmp_path: Path) -> None:
    keys, code = json.dumps(KEYS).encode(), LIBRARY.read_bytes()
    other = {"m/data/aotinductor/other/o__so": code, "m/data/aotinductor/other/o_metadata__json": keys}
    path = package(tmp_path / "m.pt2", **other)
    assert read_model(path, "other").members == (("m/data/aotinductor/other/o.so", "model.so"),)
    error = refusal(ModelMismatchError, path)
    assert "model, other" in error.what
    assert f"--model other={path}" in error.fix
    refusal(ModelMismatchError, path, "third")


def test_a_lone_model_is_taken_whatever_the_bundle_calls_it(tmp_path: Path) -> None:
    assert read_model(package(tmp_path / "m.pt2"), "encoder").name == "model"


def test_without_code(tmp_path: Path) -> None:
    error = refusal(ModelMismatchError, package(tmp_path / "m.pt2", without=".so"))
    assert "no model.so" in error.what
    assert "package_cpp_only" in error.meaning


def test_two_libraries_of_which_none_is_the_wrapper(tmp_path: Path) -> None:
    more = {f"{FOLDER}/a__so": b"", f"{FOLDER}/b__so": b""}
    assert "2 libraries" in refusal(ModelMismatchError, package(tmp_path / "m.pt2", without=".so", **more)).what


def test_a_saved_graph_is_no_compiled_model(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/models/model.json", "{}")
    assert "torch.export.save" in refusal(ModelMismatchError, path).meaning


@pytest.mark.parametrize(
    "entry", [f"{FOLDER}/weights_config.json", "m/data/constants/custom_obj_0"], ids=["pickled weights", "TorchBind"]
)
def test_parts_that_only_python_can_load(tmp_path: Path, entry: str) -> None:
    refusal(ModelMismatchError, package(tmp_path / "m.pt2", **{entry: b"{}"}))


@pytest.mark.parametrize("code", [b"", b"MZ", LIBRARY.read_bytes()[:4000]], ids=["empty", "foreign", "truncated"])
def test_code_that_is_no_whole_library(tmp_path: Path, code: bytes) -> None:
    path = package(tmp_path / "m.pt2", without=".so", **{f"{FOLDER}/abc__wrapper__so": code})
    assert "abc.wrapper.so" in refusal(DamagedError, path).what


def test_without_metadata(tmp_path: Path) -> None:
    assert "metadata" in refusal(DamagedError, package(tmp_path / "m.pt2", without="metadata.json")).what


def test_metadata_that_is_not_json(tmp_path: Path) -> None:
    for content in (b"\xff\xfe", b"[" * 100_000):
        more = {f"{FOLDER}/abc__wrapper_metadata__json": content}
        refusal(DamagedError, package(tmp_path / "m.pt2", without="metadata.json", **more))


def test_variants_bring_their_code_and_what_it_needs(tmp_path: Path) -> None:
    document = ModelMetadata(variants=(Variant("baseline"), Variant("avx2", library="model.avx2.so")))
    keys = {"aotpack": msgspec.json.encode(document).decode()}
    code = {"m/aotpack/model__avx2__so": LIBRARY.read_bytes()}
    model = read_model(package(tmp_path / "m.pt2", keys=keys, **code))
    assert ("m/aotpack/model.avx2.so", "model.avx2.so") in model.members
    assert model.metadata.variants[1].floors == model.metadata.floors
    assert model.needed == read_elf(LIBRARY).needed
    missing = refusal(DamagedError, package(tmp_path / "m.pt2", keys=keys))
    assert "there is no model.avx2.so, the code of its variant avx2" in missing.what
