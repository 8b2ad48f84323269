"""Calls models of bundles in one process that forks, lacks threads, or holds several runtimes. Says nothing when all
results are right. No import of torch unless asked for.

python in_one_process.py WHAT BUNDLE...       each bundle has a model `parallel`
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(sys.argv[2]) / "runner"))
import aotrun

RNG = np.random.default_rng(0)
X = RNG.standard_normal((256, 2048), dtype=np.float32)
INDEX = RNG.integers(0, 100, (256,))


def load(bundle: str) -> aotrun.Model:
    """The bundle's model, through the bundle's own library."""
    return aotrun.load(str(Path(bundle) / "models" / "parallel"), runners=4)


def call(model: aotrun.Model, index: np.ndarray = INDEX) -> np.ndarray:
    """What a softmax must be: rows that sum up to one."""
    softmax, total = model(X, index)
    out = np.array(np.asarray(softmax))
    assert np.allclose(out.sum(1), 1, atol=1e-4), "not a softmax"
    assert total.tolist() > 0
    return out


def threads() -> int:
    """Of this process."""
    return len(list(Path("/proc/self/task").iterdir()))


def in_child(work: Callable[[], object]) -> int:
    """Exit code of a forked child that does some work: 0, 1 for an error of aotrun's, 2 for another."""
    child = os.fork()
    if child == 0:
        signal.alarm(100)  # never to hang is the point
        try:
            work()
        except aotrun.AotError as error:
            os.write(2, str(error).encode())
            os._exit(1)
        except AssertionError as error:
            os.write(2, repr(error).encode())
            os._exit(2)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork(bundle: str) -> None:
    """A child, and a child of it, of a process that has used several threads."""
    model = load(bundle)
    expected = call(model)
    assert threads() > 1, "one thread did it all"

    def work() -> None:
        assert np.allclose(call(model), expected)
        assert np.allclose(call(load(bundle)), expected)

    for _ in range(3):
        assert in_child(work) == 0
        assert np.allclose(call(model), expected)
    assert in_child(lambda: np.testing.assert_equal(in_child(work), 0)) == 0


def fork_at_work(bundle: str) -> None:
    """A child of a process whose other threads are calling: the error, or a right result where they were between."""
    model = load(bundle)
    expected = call(model)
    stop = threading.Event()

    def keep_calling() -> None:
        while not stop.is_set():
            call(model)

    callers = [threading.Thread(target=keep_calling) for _ in range(2)]
    for caller in callers:
        caller.start()
    codes = [in_child(lambda: np.testing.assert_allclose(call(model), expected)) for _ in range(20)]
    stop.set()
    for caller in callers:
        caller.join()
    assert set(codes) <= {0, 1}, codes
    assert 1 in codes, codes


def fork_while_waiting(bundle: str) -> None:
    """A child of a process whose callers wait for the only runner: it can free the model."""
    model = aotrun.load(str(Path(bundle) / "models" / "parallel"), runners=1)
    call(model)
    stop = threading.Event()

    def keep_calling() -> None:
        while not stop.is_set():
            call(model)

    def try_and_close() -> None:
        with contextlib.suppress(aotrun.AotError):
            call(model)
        model.close()

    callers = [threading.Thread(target=keep_calling) for _ in range(4)]
    for caller in callers:
        caller.start()
    codes = [in_child(try_and_close) for _ in range(10)]
    stop.set()
    for caller in callers:
        caller.join()
    assert set(codes) == {0}, codes


def no_threads(bundle: str) -> None:
    """Room for the runtime, not for another thread's stack: stacks are of eight gigabytes here."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 30), resource.RLIM_INFINITY))
    before = threads()
    model = load(bundle)
    expected = call(model)
    for _ in range(3):
        assert np.allclose(call(model), expected)
    assert threads() == before


def threads_again(bundle: str) -> None:
    """A model that asks for one thread leaves the next its own number."""
    one = aotrun.load(str(Path(bundle) / "models" / "parallel"), threads=1)
    expected = call(one)
    before = threads()
    model = load(bundle)
    for _ in range(3):
        assert np.allclose(call(model), expected, atol=1e-5)
        assert np.allclose(call(one), expected, atol=1e-5)
    call(model)
    assert threads() > before, f"{before} threads for good"


def several(*bundles: str) -> None:
    """Each runtime keeps its own: results are right, and an index out of range is an error."""
    models = [load(bundle) for bundle in bundles]
    expected = call(models[0])
    for _ in range(3):
        for model in models:
            assert np.allclose(call(model), expected, atol=1e-5)
    for model in models:
        try:
            call(model, INDEX + 1000)
            message = "no error"
        except aotrun.AotError as error:
            message = str(error)
        assert "index out of bounds" in message, message
        assert np.allclose(call(model), expected, atol=1e-5)


def torch_first(bundle: str) -> None:
    """Torch is there, and has used its threads, before the bundle is."""
    import torch

    torch.ones(3000, 3000).sum()
    several(bundle)


def torch_last(bundle: str) -> None:
    """The bundle is there, and has used its threads, before torch is."""
    model = load(bundle)
    call(model)
    import torch

    assert torch.ones(3000, 3000).sum() == 9e6
    several(bundle)
    assert torch.softmax(torch.ones(3000, 3000), 0).sum() > 2999


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
