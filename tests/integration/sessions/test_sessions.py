"""Sessions: a decoder and a detector of voice give what eager PyTorch gives, each conversation and stream by itself."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aotrun
import numpy as np
import pytest

import aotpack
from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.progress.reporter import Reporter
from tests.support.packages.exporting import EXAMPLES, ROOT
from tests.support.sharing import once

PROMPTS = ([3, 1, 4, 1, 5, 9, 2], [7], [2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9])
STEPS = 20

#: What eager PyTorch says, each conversation and each stream by a module of its own.
EAGER = """
import copy, json, sys
import torch
sys.path.insert(0, sys.argv[1])
import decoder, voice
request = json.load(sys.stdin)
tokens, marks = [], []
with torch.no_grad():
    for prompt in request["prompts"]:
        module = decoder.model()[0]
        said, place, inputs = [], 0, prompt
        for _ in range(request["steps"]):
            positions = torch.arange(place, place + len(inputs))
            place += len(inputs)
            inputs = [int(module(torch.tensor(inputs), positions)[-1].argmax())]
            said += inputs
        tokens.append(said)
    for chunks in request["streams"]:
        module = voice.model()[0]
        marks.append([float(module(torch.tensor(chunk).view(1, -1))) for chunk in chunks])
print(json.dumps({"tokens": tokens, "marks": marks}))
"""


def streams() -> Any:
    return np.random.default_rng(0).standard_normal((2, 6, 512)).astype(np.float32)


@pytest.fixture(scope="module")
def eager(backend_python: Path) -> Any:
    request = json.dumps({"prompts": PROMPTS, "steps": STEPS, "streams": streams().tolist()})
    command = [backend_python, "-c", EAGER, EXAMPLES]
    return json.loads(subprocess.run(command, input=request, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def bundles(
    backend_venv: Path, exported: Callable[..., Path], plain_mlp: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a bundle of each runtime."""

    def make(folder: Path) -> None:
        models = [(name, exported(name, cpu_isa="avx2")) for name in ("decoder", "voice", "mlp")]
        for runtime, more in (("slim", []), ("full", [("plain", plain_mlp)])):
            request = BuildRequest(
                backend=Backend.CPU,
                output=folder / runtime,
                models=(*models, *more),
                runtime=runtime,
                venv=backend_venv,
            )
            build(request, Reporter())

    return once(tmp_path_factory, "sessions", make)


@pytest.fixture(scope="module", params=["slim", "full"])
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def say(session: Any, prompt: list[int], steps: int, place: int = 0) -> list[int]:
    """What a decoder says after a prompt that begins at `place`: the likeliest token each time."""
    said: list[int] = []
    inputs = prompt
    for _ in range(steps):
        positions = np.arange(place, place + len(inputs))
        place += len(inputs)
        inputs = [int(np.asarray(session(np.array(inputs), positions))[-1].argmax())]
        said += inputs
    return said


def test_conversations_at_the_same_time_say_what_eager_says(bundles: Path, runtime: str, eager: Any) -> None:
    with aotrun.load(bundles / runtime, model="decoder", threads=1) as model:
        together: dict[int, list[int]] = {}
        sessions = [model.session() for _ in PROMPTS]

        def talk(number: int) -> None:
            together[number] = say(sessions[number], PROMPTS[number], STEPS)

        threads = [threading.Thread(target=talk, args=(number,)) for number in range(len(PROMPTS))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [together[number] for number in range(len(PROMPTS))] == eager["tokens"]
        # One session for all, one after the other.
        for number, prompt in enumerate(PROMPTS):
            sessions[0].reset()
            assert say(sessions[0], prompt, STEPS) == eager["tokens"][number]


def test_a_decoder_says_the_same_without_a_session(bundles: Path, runtime: str, eager: Any) -> None:
    """Its keys and its values are alike before the first call: what is stored once must not be one buffer."""
    with aotrun.load(bundles / runtime, model="decoder") as model:
        assert say(model, PROMPTS[0], STEPS) == eager["tokens"][0]


def test_what_holds_memory_of_the_runtime_has_one_owner(bundles: Path) -> None:
    """A second object with the same handle would free it as well."""
    chunk = streams()[0][0][None]
    with aotrun.load(bundles / "slim", model="voice") as model, model.session() as session:
        output = session(chunk)
        for own in (model, output):
            for way in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError, match="of this process"):
                    way(own)
        for way in (copy.copy, copy.deepcopy):
            other = way(session)
            assert other is not session
            assert other(chunk).tolist() == session(chunk).tolist()
            other.close()
        with pytest.raises(TypeError, match="of this process"):
            pickle.dumps(session)


def test_a_stream_goes_on_in_a_copy_and_in_another_process(bundles: Path, runtime: str, eager: Any) -> None:
    first, second = streams()
    with aotrun.load(bundles / runtime, model="voice") as model:
        one, other = model.session(), model.session()
        marks = []
        for chunk, elsewhere in zip(first[:3], second[:3], strict=True):
            marks.append(one(chunk[None]).tolist()[0][0])
            other(elsewhere[None])
        state = one.save()
        assert len(state) == one.nbytes
        another = one.copy()
        rest = [one(chunk[None]).tolist()[0][0] for chunk in first[3:]]
        np.testing.assert_allclose(marks + rest, eager["marks"][0], rtol=1e-4)
        assert [another(chunk[None]).tolist()[0][0] for chunk in first[3:]] == rest
        one.restore(state)
        assert [one(chunk[None]).tolist()[0][0] for chunk in first[3:]] == rest
        np.testing.assert_allclose(
            [other(chunk[None]).tolist()[0][0] for chunk in second[3:]], eager["marks"][1][3:], rtol=1e-4
        )
    # The other runtime takes the state as well.
    program = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import aotrun\n"
        "session = aotrun.load(sys.argv[2], model='voice').session()\n"
        "state, chunks = bytes.fromhex(sys.stdin.readline()), json.loads(sys.stdin.readline())\n"
        "session.restore(state)\n"
        "import numpy as np\n"
        "print(json.dumps([session(np.array([chunk], np.float32)).tolist()[0][0] for chunk in chunks]))"
    )
    elsewhere = bundles / ("full" if runtime == "slim" else "slim")
    command = [sys.executable, "-c", program, ROOT / "templates" / "runner", elsewhere]
    given = f"{state.hex()}\n{json.dumps(first[3:].tolist())}\n"
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), rest, rtol=1e-4)


#: Children of a process whose threads save a session without a pause. What those held is held for ever in a child.
FORKS = """
import os, signal, sys, threading
sys.path.insert(0, sys.argv[1])
import aotrun
session = aotrun.load(sys.argv[2], model="decoder").session()
is_over = False

def save():
    while not is_over:
        session.save()

threads = [threading.Thread(target=save) for _ in range(3)]
for thread in threads:
    thread.start()
failed = 0
for _ in range(60):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # never to hang is the point
        try:
            session.reset()
        except aotrun.AotError as error:
            os._exit(0 if "was forked while another thread" in str(error) else 1)
        os._exit(0)
    failed += os.waitpid(child, 0)[1] != 0
    if failed:
        break
is_over = True
for thread in threads:
    thread.join()
sys.exit(failed)
"""


def test_a_fork_while_a_state_is_saved_hangs_no_child(bundles: Path) -> None:
    command = [sys.executable, "-c", FORKS, ROOT / "templates" / "runner", bundles / "slim"]
    assert subprocess.run(command, check=False, timeout=120).returncode == 0


def test_the_model_itself_has_one_state_for_all_callers(bundles: Path, runtime: str) -> None:
    """As before there were sessions, which leave it alone and do not begin with it."""
    chunk = streams()[0][0][None]
    with aotrun.load(bundles / runtime, model="voice") as model:
        fresh = model(chunk).tolist()
        later = model(chunk).tolist()
        assert later != fresh
        session = model.session()
        assert session(chunk).tolist() == fresh
        assert session(chunk).tolist() == later
        third = model(chunk).tolist()
        assert third not in (fresh, later)
        assert session(chunk).tolist() == third


def test_outputs_and_sessions_outlive_their_models(bundles: Path, runtime: str) -> None:
    chunk = streams()[0][0][None]
    model = aotrun.load(bundles / runtime, model="voice")
    session = model.session()
    output = session(chunk)
    model.close()
    assert session(chunk).tolist() != output.tolist()
    session.close()
    assert len(output.tolist()) == 1
    with pytest.raises(aotrun.UsageError, match="is closed"):
        session(chunk)
    with pytest.raises(aotrun.UsageError, match="is closed"):
        model.session()


def test_a_session_costs_its_state_alone(bundles: Path, runtime: str) -> None:
    with aotrun.load(bundles / runtime, model="mlp") as model, model.session() as session:
        x = np.ones((2, 64), np.float32)
        np.testing.assert_array_equal(np.asarray(session(x)), np.asarray(model(x)))
        assert session.nbytes == 24  # no state, but a way to tell that there is none
        session.restore(session.save())
    with aotrun.load(bundles / runtime, model="decoder") as model, model.session() as session:
        assert session.nbytes == 24 + 2 * 48 * 32 * 4
        weights = (bundles / runtime / "models" / "decoder" / "weights.blob").stat().st_size
        mapped = memory(bundles)
        sessions = [model.session() for _ in range(200)]
        for each in sessions[:3]:
            say(each, [1, 2], 1)
        assert memory(bundles) == mapped
        assert weights > 0


def memory(bundles: Path) -> int:
    """How many mappings of a file below the bundles this process has."""
    return sum(str(bundles) in line for line in Path("/proc/self/maps").read_text().splitlines())


def test_states_of_others_are_refused(bundles: Path, runtime: str) -> None:
    folder = bundles / runtime
    with (
        aotrun.load(folder, model="voice") as voice,
        aotrun.load(folder, model="decoder") as decoder,
        voice.session() as session,
        decoder.session() as other,
    ):
        chunk = streams()[0][0][None]
        session(chunk)
        state = session.save()
        wrong = bytearray(state)
        wrong[9] ^= 1
        for bad in (b"", state[:-1], state + b"\0", other.save(), wrong):
            with pytest.raises(aotrun.UsageError, match="are no state of"):
                session.restore(bad)
        assert session.save() == state
        with pytest.raises(aotrun.UsageError, match="chunk"):
            session(chunk[0])
        assert session.save() == state


def test_a_package_that_does_not_name_its_state_has_no_sessions(bundles: Path) -> None:
    with (
        aotrun.load(bundles / "full", model="plain") as model,
        pytest.raises(aotrun.ModelMismatchError, match="does not say which of its buffers it changes"),
    ):
        model.session()


def test_lines_of_json_are_a_stream(bundles: Path, runtime: str) -> None:
    """`aotrun infer --stream`: the state goes on from line to line; a line that does not fit is told of."""
    first, _ = streams()
    with aotrun.load(bundles / runtime, model="voice") as model, model.session() as session:
        wanted = [session(chunk[None]).tolist()[0][0] for chunk in first]
    lines = [json.dumps({"data": chunk.tolist(), "shape": [1, 512]}) for chunk in first]
    lines[3:3] = ["{}", "", json.dumps({"chunk": {"data": [1.0], "dtype": "float32"}})]
    program = bundles / runtime / "bin" / "aotrun"
    command = [program, "infer", "--model", "voice", "--stream"]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False)
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2
    errors = {document["line"]: document["error"] for document in documents if "error" in document}
    assert [(line, len(error)) for line, error in errors.items()] == [(4, 3), (6, 3)]
    marks = [document["outputs"]["output0"]["data"][0] for document in documents if "outputs" in document]
    np.testing.assert_allclose(marks, wanted, rtol=1e-5)
    refused = subprocess.run([*command, "--input", "x.npy"], capture_output=True, text=True, check=False)
    assert (refused.returncode, "takes neither" in refused.stderr) == (2, True)


def test_outputs_go_into_a_pipe(bundles: Path, runtime: str, tmp_path: Path) -> None:
    chunk = streams()[0][0][None]
    np.save(tmp_path / "x.npy", chunk)
    with aotrun.load(bundles / runtime, model="voice") as model:
        wanted = np.asarray(model(chunk))
    for form in ("npy", "npz"):
        command = [bundles / runtime / "bin" / "aotrun", "infer", "--model", "voice", "--input", tmp_path / "x.npy"]
        done = subprocess.run([*command, "--output", "-", "--format", form], capture_output=True, check=True)
        (tmp_path / "y").write_bytes(done.stdout)
        loaded = np.load(tmp_path / "y")
        np.testing.assert_array_equal(loaded if form == "npy" else loaded["output0"], wanted)


def test_sessions_of_the_toolchain_raise_its_errors(bundles: Path) -> None:
    (chunk, *_), _ = streams()
    with aotpack.load(bundles / "slim", model="voice") as model:
        one = model.session()
        first = one(chunk[None]).tolist()
        state = one.save()
        other = one.copy()
        assert isinstance(other, aotpack.Session)
        assert other(chunk[None]).tolist() == one(chunk[None]).tolist()
        one.reset()
        assert one(chunk[None]).tolist() == first
        assert one.save() == state
        with pytest.raises(aotpack.UsageError) as caught:
            one.restore(b"no state")
        assert all((caught.value.what, caught.value.meaning, caught.value.fix))
        with pytest.raises(aotpack.UsageError):
            one([1.0])
    with aotpack.load(bundles / "full", model="plain") as plain, pytest.raises(aotpack.ModelMismatchError):
        plain.session()
