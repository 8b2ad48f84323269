"""Which CUDA or ROCm toolkit is meant, where there are several."""

from __future__ import annotations

from pathlib import Path

from aotpack_doctor.facts import Toolkit
from aotpack_doctor.reading.gpus import read_toolkit
from aotpack_doctor.reading.toolkits import CUDA, ROCM, folders


def toolkit(place: Path, compiler: str) -> str:
    (place / "bin").mkdir(parents=True)
    (place / "bin" / compiler).write_text("#!/bin/sh\n")
    (place / "bin" / compiler).chmod(0o755)
    return str(place)


def test_the_compiler_that_is_named_comes_first_and_the_usual_place_last(tmp_path: Path) -> None:
    places = [toolkit(tmp_path / name, "nvcc") for name in ("named", "home", "path", "usr/local/cuda")]
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "nvcc").symlink_to(f"{places[2]}/bin/nvcc")
    environment = {
        "CUDACXX": f"{places[0]}/bin/nvcc",
        "CUDA_HOME": places[1],
        "CUDA_PATH": str(tmp_path / "absent"),
        "PATH": f"/nonexistent:{tmp_path}/links",
    }
    assert list(folders(CUDA, environment, str(tmp_path))) == places
    assert next(iter(folders(CUDA, {**environment, "CUDACXX": "nvcc"}, str(tmp_path)))) == places[2]
    assert list(folders(CUDA, {}, str(tmp_path))) == places[3:]


def test_what_torch_reads_first_for_rocm(tmp_path: Path) -> None:
    home, path = (toolkit(tmp_path / name, "hipcc") for name in ("home", "path"))
    (tmp_path / "home" / ".info").mkdir()
    (tmp_path / "home" / ".info" / "version").write_text("7.0.2-56\n")
    environment = {"ROCM_PATH": path, "ROCM_HOME": home}
    assert list(folders(ROCM, environment, str(tmp_path))) == [home, path]
    assert read_toolkit("rocm", str(tmp_path), environment) == Toolkit(home, "7.0.2")
    assert read_toolkit("rocm", str(tmp_path), {}) is None
    assert read_toolkit("cpu", str(tmp_path), environment) is None
