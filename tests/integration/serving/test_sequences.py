"""Sequences: requests that share a state, and requests that do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aotrun
import numpy as np
import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.progress.reporter import Reporter
from tests.support.bundles.serving import Server, serving, wait_until
from tests.support.sharing import once


@pytest.fixture(scope="module")
def voices(backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the detector of voice, and of a model without a state."""

    def make(folder: Path) -> None:
        request = BuildRequest(
            backend=Backend.CPU,
            output=folder / "bundle",
            models=tuple((name, exported(name, cpu_isa="avx2")) for name in ("voice", "mlp")),
            portable=True,
            runtime="slim",
            venv=backend_venv,
        )
        build(request, Reporter())

    return once(tmp_path_factory, "voices", make) / "bundle"


@pytest.fixture(scope="module")
def server(voices: Path) -> Iterator[Server]:
    with serving(voices, "--max-sequences", "3", "--sequence-idle-s", "2", "--max-batch", "8") as running:
        yield running


def chunks() -> Any:
    return np.random.default_rng(0).standard_normal((6, 512)).astype(np.float32)


def marks(voices: Path) -> list[float]:
    """What a session gives for the chunks."""
    with aotrun.load(voices, model="voice") as model, model.session() as session:
        return [session(chunk[None]).tolist()[0][0] for chunk in chunks()]


def ask(server: Server, chunk: Any, model: str = "voice", **parameters: Any) -> tuple[int, Any]:
    """Status, and the mark or the error."""
    shape = [1, len(chunk)]
    name = "chunk" if model == "voice" else "x"
    entry = {"name": name, "shape": shape, "datatype": "FP32", "data": chunk.tolist()}
    status, body, _ = server.ask(
        "POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [entry], "parameters": parameters}).encode()
    )
    document = json.loads(body)
    return status, document["outputs"][0]["data"][0] if status == 200 else document["error"]


def test_streams_are_apart_and_end(server: Server, voices: Path) -> None:
    wanted = marks(voices)
    seen: dict[Any, list[float]] = {7: [], "b": []}
    for place, chunk in enumerate(chunks()):
        for id_, found in seen.items():
            flags = {"sequence_start": place == 0, "sequence_end": place == 5}
            status, mark = ask(server, chunk, sequence_id=id_, **flags)
            assert status == 200, mark
            found.append(mark)
    for found in seen.values():
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    status, error = ask(server, chunks()[0], sequence_id=7)
    assert (status, "no sequence 7" in error) == (400, True)


def test_a_request_of_no_sequence_begins_anew(server: Server, voices: Path) -> None:
    first = marks(voices)[0]
    ask(server, chunks()[3], sequence_id=1, sequence_start=True)
    for more in ({}, {"sequence_id": 0}, {}):
        status, mark = ask(server, chunks()[0], **more)
        assert status == 200
        assert mark == pytest.approx(first, rel=1e-5)
    assert ask(server, chunks()[0], sequence_id=1, sequence_start=True)[1] == pytest.approx(first, rel=1e-5)
    assert ask(server, chunks()[1], sequence_id=1, sequence_end=True)[1] == pytest.approx(marks(voices)[1], rel=1e-5)


def test_sequences_are_bounded_and_idle_ones_end(server: Server) -> None:
    wait_until(lambda: server.metric("aotrun_sequences") == 0)
    for number in range(1, 4):
        assert ask(server, chunks()[0], sequence_id=number, sequence_start=True)[0] == 200
    assert server.metric("aotrun_sequences") == 3
    status, error = ask(server, chunks()[0], sequence_id=4, sequence_start=True)
    assert (status, "3 sequences" in error) == (429, True)
    wait_until(lambda: server.metric("aotrun_sequences") == 0)
    assert ask(server, chunks()[0], sequence_id=4, sequence_start=True, sequence_end=True)[0] == 200
    assert server.metric("aotrun_sequences") == 0


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"sequence_id": 1.5}, "neither a number nor a string"),
        ({"sequence_id": True}, "neither a number nor a string"),
        ({"sequence_id": 9, "sequence_start": 1}, "sequence_start is neither"),
        ({"sequence_id": 9}, "its first request has sequence_start"),
    ],
)
def test_what_is_refused(server: Server, parameters: dict[str, Any], words: str) -> None:
    status, error = ask(server, chunks()[0], **parameters)
    assert status == 400
    assert words in error


def test_models_without_a_state_and_servers_of_several_workers_have_none(server: Server, voices: Path) -> None:
    status, error = ask(server, chunks()[0][:64], "mlp", sequence_id=1, sequence_start=True)
    assert (status, "no state" in error) == (400, True)
    with serving(voices, "--workers", "2") as several:
        status, error = ask(several, chunks()[0], sequence_id=1, sequence_start=True)
        assert (status, "--workers 1" in error) == (400, True)
        assert ask(several, chunks()[0])[0] == 200
