"""What the Python API refuses before anything heavy is imported."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aotpack
from tests.support.bundles.hand_made import make_bundle


def test_a_text_brings_its_own_inputs(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.touch()
    with pytest.raises(aotpack.UsageError, match="inputs beside it") as caught:
        aotpack.export(f"{file}:model", (1,))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("device", "arch", "what"),
    [
        ("cpu", "sm_80", "--arch sm_80: cpu has no GPU code"),
        ("cuda", "gfx90a", "--arch gfx90a: 'gfx90a' is not a CUDA"),
        ("rocm:1", "sm_80", "--arch sm_80: 'sm_80' is not a ROCm"),
    ],
)
def test_gpus_of_another_device(device: str, arch: str, what: str, tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.touch()
    with pytest.raises(aotpack.UsageError, match=what) as caught:
        aotpack.export(f"{file}:model", output=tmp_path / "m.pt2", device=device, archs=[arch])
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("archs", ["sm_90", b"sm_90", [90], ["sm_90", None], None, 90], ids=repr)
def test_gpus_are_a_list_of_texts(archs: Any, tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.touch()
    for command in (aotpack.export, aotpack.build):
        where = {"device": "cuda"} if command is aotpack.export else {"backend": "cuda"}
        with pytest.raises(aotpack.UsageError, match=r"archs=.*: not a list of texts"):
            command(f"{file}:model", output=tmp_path / "made.pt2", archs=archs, **where)


def test_what_is_no_model_is_named() -> None:
    with pytest.raises(aotpack.UsageError, match="a dict cannot be exported"):
        aotpack.export({})


def test_several_models_need_an_output() -> None:
    with pytest.raises(aotpack.UsageError, match="--output is missing"):
        aotpack.build(["a.pt2", "b.pt2"])


def test_things_are_told_by_their_kind(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    make_bundle(bundle)
    found = aotpack.inspect(bundle)
    assert isinstance(found, aotpack.Bundle)
    assert found.digest.startswith("sha256:")
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(aotpack.UsageError, match="a NumPy array"):
        aotpack.inspect(tmp_path / "x.npy")


def test_a_changed_file_is_a_problem_and_then_an_error(tmp_path: Path) -> None:
    from aotpack.api.verification import examine

    bundle = tmp_path / "bundle"
    make_bundle(bundle)
    whole = aotpack.verify(bundle)
    assert whole.problems == ()
    changed = bundle / next(record.path for record in whole.description.files if record.link is None)
    changed.write_bytes(b"other")
    assert [problem.path for problem in examine(bundle).problems] == [changed.relative_to(bundle).as_posix()]
    with pytest.raises(aotpack.DamagedError) as caught:
        aotpack.verify(bundle)
    assert caught.value.exit_code == 6


def test_errors_go_from_process_to_process() -> None:
    """As those of a pool's workers do."""
    error = aotpack.DamagedError("what", meaning="meaning", fix="fix", detail="detail")
    other = pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    assert type(other) is aotpack.DamagedError
    assert (other.what, other.meaning, other.fix, other.detail) == ("what", "meaning", "fix", "detail")
    assert str(copy.copy(error)) == str(error)


def test_a_package_outside_of_a_bundle_cannot_be_loaded(tmp_path: Path) -> None:
    package = tmp_path / "m.pt2"
    package.touch()
    with pytest.raises(aotpack.UsageError, match=r"m\.pt2: no bundle, and not in one") as caught:
        aotpack.load(package)
    assert "aotpack.build" in caught.value.fix


def test_a_folder_without_a_bundle_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(aotpack.UsageError, match="no bundle and no model folder") as caught:
        aotpack.load(tmp_path)
    assert caught.value.fix


def test_a_lone_input_is_no_tuple_of_one() -> None:
    from aotpack.exporting.in_process import inputs_of

    assert inputs_of((1, 2), {"y": 3}) == ((1, 2), {"y": 3})
    assert inputs_of({"x": 1}, {"y": 3}) == ((), {"x": 1, "y": 3})
    assert inputs_of(None, None) == ((), {})
    with pytest.raises(aotpack.UsageError, match="args is a ndarray") as caught:
        inputs_of(np.zeros(3), None)
    assert "(x,)" in caught.value.fix
