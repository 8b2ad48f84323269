"""`aotrun serve` beside the usual alternative, FastAPI with torch: requests a second of a core, latency at less load.

    python -m benchmarks.serving [--seconds S] [--connections N] [--rounds N] [--alone] [--requests N] [--publish]

Both serve `examples/mlp.py`, one row a request, from processor 0; the client, a program in C, has processor 1. Less
load is a share of the median of what was answered in a second before, evenly paced, and at random times. FastAPI runs
as its documentation says: uvicorn with uvloop and httptools, pydantic models of lists, one process, torch with one
thread. Beside the latencies stand those of a floor: a server in C that keeps the processor busy for as long as a
request takes of aotrun at its greatest load, and does nothing else but read and answer.
Each row of the tables is the median of rounds, in the first one of rounds in which all take turns. `--alone` gives
servers and client real-time priority, so that what else the machine does has none of the processors meanwhile; that is
for root. Rounds are short then, with pauses between them: where it has waited for a second, the kernel gives the rest
of the machine a twentieth of one at once, and a round that meets with this has a p99 of 50 ms.
`--requests 1000000` asks so many questions by number of two workers instead, one of which is killed now and then,
beside broken clients, and counts the answers.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import results

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "bench" / "serving"
PAGE = Path(__file__).with_name("RESULTS-serving.md")
SERVER, CLIENT = {0}, {1}
#: Of the greatest load, at which latencies are measured.
SHARES = (0.25, 0.5)
PACES = ("even", "random")

#: The alternative.
FASTAPI = """
import sys
sys.path[:0] = [{examples!r}]
import torch
import mlp
from fastapi import FastAPI
from pydantic import BaseModel

torch.set_num_threads(1)
module = mlp.model()[0]
app = FastAPI()


class Question(BaseModel):
    x: list[list[float]]


class Answer(BaseModel):
    y: list[list[float]]


@app.post("/predict")
async def predict(question: Question) -> Answer:
    with torch.inference_mode():
        return Answer(y=module(torch.tensor(question.x)).tolist())
"""


def row(number: int) -> list[float]:
    """The input of a question."""
    generator = random.Random(number)  # noqa: S311
    return [generator.uniform(-1, 1) for _ in range(64)]


def as_bytes(number: int) -> bytes:
    """A question by the protocol, tensors as bytes."""
    from tests.support.bundles.serving import binary_request

    return binary_request("mlp", "x", (1, 64), struct.pack("<64f", *row(number)), str(number))


def as_json(number: int) -> bytes:
    """The same in JSON."""
    entry = {"name": "x", "shape": [1, 64], "datatype": "FP32", "data": row(number)}
    return _post("/v2/models/mlp/infer", {"id": str(number), "inputs": [entry]})


def to_fastapi(number: int) -> bytes:
    """The same for the alternative."""
    return _post("/predict", {"x": [row(number)]})


def _post(path: str, document: object) -> bytes:
    text = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


@contextlib.contextmanager
def on_two_processors() -> Iterator[None]:
    """What is started runs on the server's processor until this process moves to the client's."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, SERVER)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def aotrun(*words: str) -> Iterator[tuple[int, int]]:
    """A server of the slim bundle: its port, and the process that answers."""
    from tests.support.bundles.serving import serving

    with on_two_processors(), serving(WORK / "bundle", "--threads", "1", *words) as server:
        os.sched_setaffinity(0, CLIENT)
        yield server.port, server.workers(1)[0]


@contextlib.contextmanager
def fastapi() -> Iterator[tuple[int, int]]:
    """The alternative, likewise."""
    (WORK / "alternative.py").write_text(FASTAPI.format(examples=str(ROOT / "examples")))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(next((ROOT / ".venv" / "lib").glob("python*/site-packages")))}
    command = [WORK / "venv" / "bin" / "python", "-m", "uvicorn", "alternative:app", "--port", str(port)]
    command += ["--log-level", "warning", "--no-access-log", "--app-dir", str(WORK)]
    with on_two_processors():
        process = subprocess.Popen(command, env=environment)
        os.sched_setaffinity(0, CLIENT)
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield port, process.pid
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def floor(seconds: float) -> Iterator[tuple[int, int]]:
    """A server that does nothing but keep its processor busy for so long a question; see `programs/floor.c`."""
    with on_two_processors():
        command = [str(WORK / "floor"), str(seconds * 1e6), str(len(as_bytes(0)))]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(0, CLIENT)
        try:
            assert process.stdout
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()
            process.wait()


def prefer(process: int) -> None:
    """Let a server, the process that answers and the one that listens, run before whatever has no such priority."""
    listens = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    for each in {process, listens} - {os.getpid()}:
        for thread in (Path("/proc") / str(each) / "task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(10))


def processor_seconds(process: int) -> float:
    """What a process's threads have used."""
    used = 0
    for thread in (Path("/proc") / str(process) / "task").iterdir():
        used += int((thread / "schedstat").read_text().split()[0])
    return used * 1e-9


class Round(NamedTuple):
    """What was seen of a server for a while: answers a second, what each took of its processor, and how long each was
    waited for, ascending; in seconds."""

    rate: float
    cost: float
    taken: list[float]

    def at(self, share: float) -> float:
        """The time within which a share of the answers came."""
        return self.taken[min(int(len(self.taken) * share), len(self.taken) - 1)]


def round_of(
    server: tuple[int, int],
    question: Callable[[int], bytes],
    connections: int,
    seconds: float,
    rate: float = 0.0,
    pace: str = "even",
) -> Round:
    """Ask a server for a while; see `asked`."""
    before = processor_seconds(server[1])
    taken = asked(server, question, connections, seconds, rate, pace)
    used = processor_seconds(server[1]) - before
    time.sleep(2 * seconds)
    return Round(len(taken) / seconds, used / len(taken), sorted(taken))


def asked(
    server: tuple[int, int],
    question: Callable[[int], bytes],
    connections: int,
    seconds: float,
    rate: float = 0.0,
    pace: str = "even",
) -> array[float]:
    """The seconds that each answer took; see `programs/load.c`, which is fast enough to leave the server no rest."""
    questions = [question(number) for number in range(64)]
    given = b"".join(struct.pack("=I", len(each)) + each for each in questions)
    command = ["chrt", "--fifo", "10"] if os.sched_getscheduler(server[1]) == os.SCHED_FIFO else []
    command += [str(WORK / "load"), str(server[0]), str(connections), str(seconds), str(rate), pace]
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True)
    return array("d", done.stdout)


def prepare() -> None:
    """A slim bundle of the MLP, an environment for the alternative, and what asks both."""
    WORK.mkdir(parents=True, exist_ok=True)
    for name in ("load", "floor"):
        source = Path(__file__).with_name("programs") / f"{name}.c"
        subprocess.run(["cc", "-O2", source, "-lm", "-o", WORK / name], check=True)  # noqa: S607
    python = WORK / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", WORK / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "fastapi", "uvicorn[standard]"], check=True)
    from benchmarks.run import _aotpack

    package = WORK / "mlp.pt2"
    if not package.exists():
        _aotpack("export", f"{ROOT / 'examples' / 'mlp.py'}:model", "--output", package, "--cpu-isa", "native")
    _aotpack("build", "--model", package, "--output", WORK / "bundle", "--portable", "--runtime", "slim")


Start = Callable[[], contextlib.AbstractContextManager[tuple[int, int]]]
#: What is measured at less load as well.
BYTES, BATCHES = "aotrun serve, bytes", "aotrun serve --max-batch 64, bytes"
ALTERNATIVE = "FastAPI + uvicorn + torch, JSON"


def measure_greatest(options: argparse.Namespace) -> tuple[list[str], dict[str, float]]:
    """The first table, and the seconds that a request takes of each way that is measured at less load."""
    ways: dict[str, tuple[Start, Callable[[int], bytes]]] = {
        ALTERNATIVE: (fastapi, to_fastapi),
        "aotrun serve, JSON": (aotrun, as_json),
        BYTES: (aotrun, as_bytes),
        BATCHES: (lambda: aotrun("--max-batch", "64"), as_bytes),
    }
    seen: dict[str, list[Round]] = {way: [] for way in ways}
    with contextlib.ExitStack() as running:
        servers = {way: (running.enter_context(start()), question) for way, (start, question) in ways.items()}
        for number, (way, (server, question)) in itertools.product(range(-1, options.rounds), servers.items()):
            if options.alone:
                prefer(server[1])
            each = round_of(server, question, options.connections, options.seconds)
            if number >= 0:  # the first one warms up
                seen[way].append(each)
    lines = [
        f"| one row of the MLP a request, {options.connections} connections | requests/s | ratio | us each | ratio |",
        "|---|---:|---:|---:|---:|",
    ]
    for way, found in seen.items():
        rate, cost = statistics.median(one.rate for one in found), statistics.median(one.cost for one in found)
        pairs = list(zip(found, seen[ALTERNATIVE], strict=True))
        faster = statistics.median(one.rate / other.rate for one, other in pairs)
        cheaper = statistics.median(other.cost / one.cost for one, other in pairs)
        lines.append(f"| {way} | {rate:.0f} | {faster:.2f} | {cost * 1e6:.1f} | {cheaper:.2f} |")
    return lines, {way: 1 / statistics.median(one.rate for one in seen[way]) for way in (BYTES, BATCHES)}


def measure_less(options: argparse.Namespace, least: dict[str, float]) -> list[str]:
    """The second table: latencies at less load than the greatest, at which a request took `least` seconds."""
    with floor(0.0) as server:
        if options.alone:
            prefer(server[1])
        own = 1 / round_of(server, as_bytes, options.connections, options.seconds).rate
    ways: dict[str, tuple[Start, float]] = {}
    for way, start in ((BYTES, aotrun), (BATCHES, lambda: aotrun("--max-batch", "64"))):
        ways[way] = start, 1 / least[way]
        ways[f"floor: {least[way] * 1e6:.0f} us in C"] = (lambda way=way: floor(least[way] - own)), 1 / least[way]
    lines = [
        "| at a share of that load | share | questions come | p50, us | p99, us | p99 / p50 | core busy, % |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for way, (start, most) in ways.items():
        with start() as server:
            if options.alone:
                prefer(server[1])
            asked(server, as_bytes, options.connections, options.seconds, most / 2)
            for share, pace in itertools.product(SHARES, PACES):
                each = [
                    round_of(server, as_bytes, options.connections, options.seconds, most * share, pace)
                    for _ in range(options.rounds)
                ]
                median, late = (statistics.median(one.at(part) for one in each) * 1e6 for part in (0.5, 0.99))
                ratio = statistics.median(one.at(0.99) / one.at(0.5) for one in each)
                busy = statistics.median(one.cost * one.rate for one in each) * 100
                lines.append(f"| {way} | {share:g} | {pace} | {median:.0f} | {late:.0f} | {ratio:.2f} | {busy:.0f} |")
    return lines


def endure(requests: int) -> str:
    """Ask so many questions through killed workers, slow clients and broken requests; what became of them."""
    from tests.support.bundles.serving import Answer, Crowd, floats, serving

    wanted: dict[int, tuple[float, ...]] = {}

    def check(number: int, answer: Answer) -> None:
        assert answer.status == 200, answer.document
        assert answer.document["id"] == str(number)
        seen = floats(answer.data)
        known = wanted.setdefault(number % 64, seen)
        assert all(abs(one - other) < 1e-5 for one, other in zip(seen, known, strict=True)), number

    questions = {number: as_bytes(number) for number in range(64)}

    def question(number: int) -> bytes:
        # The same inputs again and again, each under its own number.
        return as_bytes(number) if number < 64 else _renumbered(questions[number % 64], number)

    with serving(WORK / "bundle", "--workers", "2", "--max-batch", "32") as server:
        server.workers(2)
        crowd = Crowd(server.port, 32, question, check)
        stop = threading.Event()
        thread = threading.Thread(target=_bother, args=(server.port, stop))
        thread.start()
        killed: list[int] = []

        def kill() -> None:
            if crowd.count > (len(killed) + 1) * requests // 11:
                ready = {event["worker"] for event in server.events() if event["event"] == "worker ready"}
                alive = sorted(ready - set(killed))
                if len(alive) == 2:
                    killed.append(alive[len(killed) % 2])
                    os.kill(killed[-1], signal.SIGKILL)

        crowd.run(lambda: crowd.count >= requests, kill)
        stop.set()
        thread.join()
    doubled = sum(count != 1 for count in crowd.answers.values())
    lost = len(set(range(crowd.asked)) - set(crowd.answers) - set(crowd.broken))
    return (
        f"{len(crowd.answers)} requests answered, {lost} lost, {doubled} answered twice; {len(killed)} workers were "
        f"killed, with {len(crowd.broken)} requests in flight, whose connections ended."
    )


def _renumbered(request: bytes, number: int) -> bytes:
    """The same question under another id."""
    head, _, body = request.partition(b"\r\n\r\n")
    text, data = body[: -64 * 4], body[-64 * 4 :]
    document = json.loads(text)
    document["id"] = str(number)
    text = json.dumps(document).encode()
    head = (
        f"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: test\r\nContent-Length: {len(text) + len(data)}\r\n"
        f"Inference-Header-Content-Length: {len(text)}\r\n\r\n"
    ).encode()
    return head + text + data


def _bother(port: int, stop: threading.Event) -> None:
    """Clients that stop in the middle, send noise, or never read."""
    generator = random.Random(0)  # noqa: S311
    whole = as_bytes(0)
    while not stop.wait(0.05):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            noisy = bytearray(whole)
            for _ in range(4):
                noisy[generator.randrange(len(noisy))] = generator.randrange(256)
            client.sendall(noisy[: generator.randint(1, len(noisy))])


def main() -> None:
    """Measure and print, or write this kind of CPU's section of RESULTS-serving.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--publish", action="store_true")
    options = parser.parse_args()
    prepare()
    if options.requests:
        print(endure(options.requests))
        return
    lines, least = measure_greatest(options)
    lines += ["", *measure_less(options, least)]
    print("\n".join(lines))
    if options.publish:
        results.publish(lines, PAGE)


if __name__ == "__main__":
    main()
