from __future__ import annotations

import json
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.environment.reading import parse_version_py
from aotpack.environment.search import detect, find_torch
from aotpack.errors import TorchMismatchError, UsageError
from tests.support.doubles.torch_trees import fill_torch, make_libtorch, make_torch_venv, make_venv, version_py

NO_ENV: dict[str, str] = {"PATH": ""}

# (variant on disk, version, version.cuda, version.hip) -> (toolkit version, tag)
VARIANTS = {
    "plain cpu": (("cpu", "2.13.0+cpu", None, None), (None, "cpu")),
    "untagged cpu": (("cpu", "2.13.0", None, None), (None, "cpu")),
    "cpu from source": (("cpu", "2.10.0a0+git123", None, None), (None, "cpu")),
    "cuda": (("cuda", "2.15.0+cu132", "13.2", None), ("13.2", "cu132")),
    "cuda without a tag": (("cuda", "2.10.0", "12.8", None), ("12.8", "cu128")),
    "cuda from source": (("cuda", "2.10.0a0+git123", "12.8", None), ("12.8", "cu128")),
    "cuda, cudnn of PyPI": (
        ("cuda", "2.10.0+cu128.with.pypi.cudnn", "12.8", None),
        ("12.8", "cu128.with.pypi.cudnn"),
    ),
    "cuda of a vendor's container": (("cuda", "2.9.0a0+5228986c39.nv25.05", "12.9", None), ("12.9", "cu129")),
    "rocm": (("rocm", "2.9.1+rocm7.0", None, "7.0.51831-a3e329ad8"), ("7.0.51831-a3e329ad8", "rocm7.0")),
    "rocm of AMD": (("rocm", "2.9.1+rocm7.0.2.lw", None, "7.0.2"), ("7.0.2", "rocm7.0.2.lw")),
    "rocm from source": (("rocm", "2.10.0a0+git123", None, "7.1.1"), ("7.1.1", "rocm7.1")),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_of_wheel_is_recognised(tmp_path: Path, name: str) -> None:
    (variant, version, cuda, hip), (toolkit, tag) = VARIANTS[name]
    root = make_torch_venv(tmp_path / "venv", variant, version, cuda=cuda, hip=hip)
    info = detect(tmp_path / "venv")
    assert (info.version, info.variant, info.cuda or info.hip, info.tag) == (version, Backend(variant), toolkit, tag)
    assert info.root == root
    assert info.lib_dirs == (root / "lib",)
    assert info.site_packages == root.parent
    assert info.python == tmp_path / "venv/bin/python3"
    assert info.python_version == "3.11"
    assert info.include_dirs[0] == root / "include"
    assert info.cxx11_abi


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("backend", list(Backend))
def test_every_pair_of_torch_and_backend(tmp_path: Path, name: str, backend: Backend) -> None:
    (variant, version, cuda, hip), _ = VARIANTS[name]
    make_torch_venv(tmp_path / "venv", variant, version, cuda=cuda, hip=hip)
    if backend in {Backend.CPU, Backend(variant)}:
        assert find_torch(backend, venv=Path("venv"), env=NO_ENV, cwd=tmp_path).source == "--venv"
        return
    with pytest.raises(TorchMismatchError) as caught:
        find_torch(backend, venv=Path("venv"), env=NO_ENV, cwd=tmp_path)
    assert caught.value.exit_code == 3
    assert f"needs a {backend} torch" in caught.value.what
    assert version in caught.value.what
    assert f"({variant}" in caught.value.what
    assert f"aotpack init --backend {backend}" in caught.value.fix


def test_the_libraries_outrank_the_version_file(tmp_path: Path) -> None:
    make_torch_venv(tmp_path / "venv", "cuda", "2.13.0")
    assert detect(tmp_path / "venv").variant is Backend.CUDA


@pytest.mark.parametrize(
    ("version", "variant", "cuda", "hip"),
    [
        ("2.9.1+cpu", "cpu", None, None),
        ("2.9.1+cu128", "cuda", "12.8", None),
        ("2.9.1+cu130", "cuda", "13.0", None),
        ("2.9.1+rocm6.4", "rocm", None, "6.4"),
        ("2.9.1", "rocm", None, None),
    ],
)
def test_libtorch_without_python(tmp_path: Path, version: str, variant: str, cuda: str | None, hip: str | None) -> None:
    root = make_libtorch(tmp_path / "libtorch", variant, version)
    info = find_torch(Backend(variant), env={"LIBTORCH": str(root), **NO_ENV}, cwd=tmp_path)
    assert (info.version, info.variant, info.cuda, info.hip) == (version, Backend(variant), cuda, hip)
    assert (info.source, info.python, info.site_packages) == ("LIBTORCH", None, None)
    assert info.lib_dirs == (root / "lib",)


def test_untagged_cuda_libtorch_is_dated_by_its_runtime(tmp_path: Path) -> None:
    root = make_libtorch(tmp_path / "libtorch", "cuda", "2.9.1")
    (root / "lib/libcudart-c3a75b33.so.12").touch()
    assert detect(root, env=NO_ENV).cuda == "12"


def test_libtorch_built_from_source_names_its_version_to_cmake_only(tmp_path: Path) -> None:
    root = make_libtorch(tmp_path / "libtorch", "cpu", None)
    with pytest.raises(TorchMismatchError, match="broken: neither build-version"):
        detect(root, env=NO_ENV)
    (root / "share/cmake/Torch/TorchConfigVersion.cmake").write_text('set(PACKAGE_VERSION "2.10.0")\n')
    assert detect(root, env=NO_ENV).version == "2.10.0"


@pytest.mark.parametrize(
    ("recorded", "variable", "expected"), [("1", None, True), ("0", None, False), ("1", "0", False), ("0", "1", True)]
)
def test_cxx11_abi_of_libtorch(tmp_path: Path, recorded: str, variable: str | None, expected: bool) -> None:
    root = make_libtorch(tmp_path / "libtorch", "cpu", "2.9.1", abi=recorded)
    env = {"LIBTORCH": str(root)} | ({"LIBTORCH_CXX11_ABI": variable} if variable else {})
    assert find_torch(Backend.CPU, env=env, cwd=tmp_path).cxx11_abi is expected


def test_cxx11_abi_must_be_0_or_1(tmp_path: Path) -> None:
    root = make_libtorch(tmp_path / "libtorch", "cpu", "2.9.1")
    with pytest.raises(UsageError, match="LIBTORCH_CXX11_ABI is 'yes'"):
        find_torch(Backend.CPU, env={"LIBTORCH": str(root), "LIBTORCH_CXX11_ABI": "yes"}, cwd=tmp_path)


def test_order_of_places(tmp_path: Path) -> None:
    for name in ("given", "of-aotpack", ".venv-cuda", ".venv", "active", "conda"):
        make_torch_venv(tmp_path / name, "cuda", "2.15.0+cu132", cuda="13.2")
    make_libtorch(tmp_path / "libtorch", "cuda", "2.9.1+cu128")
    env = {
        "AOTPACK_VENV": "of-aotpack",
        "LIBTORCH": str(tmp_path / "libtorch"),
        "VIRTUAL_ENV": str(tmp_path / "active"),
        "CONDA_PREFIX": str(tmp_path / "conda"),
        "PATH": "",
    }

    def source(venv: Path | None = None) -> str:
        return find_torch(Backend.CUDA, venv=venv, env=env, cwd=tmp_path).source

    assert source(tmp_path / "given") == "--venv"
    assert source() == "AOTPACK_VENV"
    del env["AOTPACK_VENV"]
    assert source() == "LIBTORCH"
    del env["LIBTORCH"]
    for expected in (".venv-cuda", ".venv", "VIRTUAL_ENV", "CONDA_PREFIX"):
        info = find_torch(Backend.CUDA, env=env, cwd=tmp_path)
        assert info.source == expected
        assert info.candidates[-1].remark == "taken: torch 2.15.0+cu132 (cuda 13.2)"
        folder = info.candidates[-1].path
        (folder / "lib/python3.11/site-packages/torch").rename(tmp_path / f"gone{expected}")
    with pytest.raises(TorchMismatchError, match="no torch found for backend cuda") as caught:
        source()
    for place in (".venv-cuda", ".venv", "VIRTUAL_ENV", "CONDA_PREFIX"):
        assert f"({place}): no torch in it" in caught.value.what


def test_folders_beside_the_standard_library_do_not_confuse(tmp_path: Path) -> None:
    make_torch_venv(tmp_path / ".venv")
    for name in ("python3.11-backup", "python3.x", "python3.9"):
        (tmp_path / ".venv" / "lib" / name).mkdir()
    assert find_torch(Backend.CPU, env={}, cwd=tmp_path).python_version == "3.11"


def test_a_free_threaded_python_is_an_environment(tmp_path: Path) -> None:
    site_packages = make_venv(tmp_path / ".venv", "3.13t")
    fill_torch(site_packages / "torch", "cpu", version_py("2.13.0+cpu"))
    assert find_torch(Backend.CPU, env={}, cwd=tmp_path).python_version == "3.13t"


def test_an_unfitting_environment_is_passed_over_and_remembered(tmp_path: Path) -> None:
    make_torch_venv(tmp_path / ".venv", "cpu", "2.13.0+cpu")
    make_torch_venv(tmp_path / "active", "cuda", "2.15.0+cu132", cuda="13.2")
    info = find_torch(Backend.CUDA, env={"VIRTUAL_ENV": str(tmp_path / "active")}, cwd=tmp_path)
    assert info.source == "VIRTUAL_ENV"
    assert [seen.remark for seen in info.candidates] == [
        "does not exist",
        "torch 2.13.0+cpu (cpu) does not serve cuda",
        "taken: torch 2.15.0+cu132 (cuda 13.2)",
    ]


@pytest.mark.parametrize("named_by", ["--venv", "LIBTORCH"])
def test_a_named_place_is_never_passed_over(tmp_path: Path, named_by: str) -> None:
    make_torch_venv(tmp_path / ".venv")
    missing = tmp_path / "missing"
    venv, env = (missing, NO_ENV) if named_by == "--venv" else (None, {"LIBTORCH": str(missing)})
    with pytest.raises(TorchMismatchError) as caught:
        find_torch(Backend.CPU, venv=venv, env=env, cwd=tmp_path)
    assert f"missing ({named_by}): does not exist" in caught.value.what
    assert ("unset LIBTORCH" in caught.value.fix) == (named_by == "LIBTORCH")


def test_a_venv_without_torch_is_not_a_broken_torch(tmp_path: Path) -> None:
    make_venv(tmp_path / "venv")
    with pytest.raises(TorchMismatchError, match="no torch in it"):
        detect(tmp_path / "venv")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("version.py", "broken: version.py is missing"),
        ("lib/libtorch_cpu.so", r"broken: libtorch_cpu.so missing from .*torch/lib"),
        ("lib/libc10_cuda.so", r"broken: libc10_cuda.so missing from .*torch/lib"),
        ("lib/libtorch_cuda.so", r"broken: libtorch_cuda.so missing from .*torch/lib"),
    ],
)
def test_a_broken_torch_is_told_apart_and_not_passed_over(tmp_path: Path, part: str, message: str) -> None:
    root = make_torch_venv(tmp_path / ".venv-cuda", "cuda", "2.15.0+cu132", cuda="13.2")
    make_torch_venv(tmp_path / ".venv", "cuda", "2.15.0+cu132", cuda="13.2")
    (root / part).unlink()
    with pytest.raises(TorchMismatchError, match=message):
        find_torch(Backend.CUDA, env=NO_ENV, cwd=tmp_path)


@pytest.mark.parametrize("text", ["__version__ = ", "x = 1", "__version__ = 'main'", "__version__ = f()"])
def test_a_version_file_without_a_version_is_a_broken_torch(tmp_path: Path, text: str) -> None:
    root = make_torch_venv(tmp_path / "venv")
    (root / "version.py").write_text(text)
    with pytest.raises(TorchMismatchError, match=r"version.py does not name a version"):
        detect(tmp_path / "venv")


def test_a_dist_info_without_its_torch_is_a_broken_torch(tmp_path: Path) -> None:
    (make_venv(tmp_path / "venv") / "torch-2.13.0+cpu.dist-info").mkdir()
    with pytest.raises(TorchMismatchError, match="broken"):
        detect(tmp_path / "venv")


@pytest.mark.parametrize("version", ["2.8.0+cpu", "2.9.0a0+git1", "1.13.1"])
def test_old_torch_is_refused(tmp_path: Path, version: str) -> None:
    make_torch_venv(tmp_path / "venv", "cpu", version)
    if version.startswith("2.9"):
        assert find_torch(Backend.CPU, venv=tmp_path / "venv", env=NO_ENV).base_version == "2.9.0a0"
        return
    with pytest.raises(TorchMismatchError, match=r"older than 2\.9"):
        find_torch(Backend.CPU, venv=tmp_path / "venv", env=NO_ENV)


def test_vendor_libraries_beside_torch(tmp_path: Path) -> None:
    root = make_torch_venv(tmp_path / "venv", "cuda", "2.9.1+cu128", cuda="12.8")
    for package in ("cudnn", "cublas"):
        (root.parent / "nvidia" / package / "lib").mkdir(parents=True)
    names = [folder.relative_to(root.parent).as_posix() for folder in detect(tmp_path / "venv").lib_dirs]
    assert names == ["torch/lib", "nvidia/cublas/lib", "nvidia/cudnn/lib"]


def test_conda_keeps_libraries_and_headers_in_the_prefix(tmp_path: Path) -> None:
    prefix = tmp_path / "conda"
    root = make_torch_venv(prefix, "cpu", "2.9.1")
    (prefix / "pyvenv.cfg").unlink()
    for library in (root / "lib").iterdir():
        library.rename(prefix / "lib" / library.name)
    (root / "include").rename(prefix / "include")
    info = find_torch(Backend.CPU, env={"CONDA_PREFIX": str(prefix)}, cwd=tmp_path)
    assert info.lib_dirs == (prefix / "lib",)
    assert info.include_dirs[0] == prefix / "include"


@pytest.mark.parametrize("kind", ["pth", "direct_url"])
def test_editable_installs(tmp_path: Path, kind: str) -> None:
    source = fill_torch(tmp_path / "src py" / "torch", "cpu", version_py("2.10.0a0+git123"))
    site_packages = make_venv(tmp_path / "venv")
    if kind == "pth":
        (site_packages / "easy-install.pth").write_text(f"# comment\nimport sys\n{source.parent}\n")
    else:
        dist_info = site_packages / "torch-2.10.0a0+git123.dist-info"
        dist_info.mkdir()
        url = json.dumps({"url": (source.parent).as_uri(), "dir_info": {"editable": True}})
        (dist_info / "direct_url.json").write_text(url)
    assert detect(tmp_path / "venv").root == source


def test_document_is_json(tmp_path: Path) -> None:
    make_torch_venv(tmp_path / "venv")
    document = json.loads(json.dumps(detect(tmp_path / "venv").document()))
    assert document["version"] == "2.13.0+cpu"
    assert document["candidates"][0]["remark"] == "taken: torch 2.13.0+cpu (cpu)"


def test_parse_version_py_reads_both_kinds_of_assignment() -> None:
    text = "__version__ = '2.9.1'\ncuda: Optional[str] = None\ndebug = False\nhip: str\na = b = 'c'\n"
    assert parse_version_py(text) == {"__version__": "2.9.1", "cuda": None, "a": "c", "b": "c"}


def test_an_environment_that_the_variable_names_is_taken_or_refused(tmp_path: Path) -> None:
    """What stands there is an order: another torch that would do is not taken in its place."""
    make_torch_venv(tmp_path / ".venv", "cpu", "2.13.0+cpu")
    make_venv(tmp_path / "empty")
    with pytest.raises(TorchMismatchError, match=r"empty \(AOTPACK_VENV\): no torch in it") as caught:
        find_torch(Backend.CPU, env={"AOTPACK_VENV": str(tmp_path / "empty"), **NO_ENV}, cwd=tmp_path)
    assert "with AOTPACK_VENV" in caught.value.fix
