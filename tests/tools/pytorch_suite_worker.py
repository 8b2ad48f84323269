"""Run by the backend's Python: a unittest file whose packages bundles of ours load beside libtorch's own loader.

python pytorch_suite_worker.py BUNDLE,BUNDLE FILE.py [-k PATTERN]... [--json FILE]

Each test runs in a child, so that one that ends its process is a line of the result like any other.
"""

import argparse
import collections
import ctypes
import fnmatch
import json
import os
import signal
import sys
import tempfile
import time
import unittest
from pathlib import Path

import torch
import torch._inductor
from pytorch_suite_files import compile_packages, import_suite, package_of_library
from torch.testing import assert_close
from torch.testing._comparison import default_tolerances
from torch.utils import _pytree as pytree

SECONDS_A_TEST = 120


class Beside:
    """What `aoti_load_package` returns: libtorch's own result, after each bundle has had its turn."""

    def __init__(self, own, path, bundles, tell):
        self.own, self.path, self.bundles, self.tell = own, path, bundles, tell
        self.models = {}

    def __getattr__(self, name):
        return getattr(self.own, name)

    def __call__(self, *args, **kwargs):
        inputs = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        before = copies(inputs)
        torch.manual_seed(torch.initial_seed())
        expected = self.own(*args, **kwargs)
        outputs = [leaf for leaf in pytree.tree_leaves(expected) if isinstance(leaf, torch.Tensor)]
        for name, root in self.bundles.items():
            self.tell(name, "started", "")
            self.tell(name, *self.held_against(root, copies(before), outputs, inputs))
        return expected

    def held_against(self, root, given, outputs, inputs):
        """What a bundle made of it: ("same" | "refused" | "wrong", the reason)."""
        from aotrun.errors import AotError
        from aotrun.library.model import Model

        try:
            if root not in self.models:
                self.models[root] = Model(root, str(self.path), device=None, runners=1, threads=0)
            seed(root)
            results = self.models[root].run(*given).outputs
        except AotError as error:
            return "refused", " | ".join(str(error).splitlines())
        try:
            tensors = [torch.from_dlpack(each) for each in results.values()]
            if len(tensors) != len(outputs):
                return "wrong", f"{len(tensors)} outputs in place of {len(outputs)}"
            for got, wanted in zip([*tensors, *given], [*outputs, *inputs], strict=True):
                assert_close(got, wanted, equal_nan=True, check_stride=False, **tolerances(wanted))
        except Exception as error:  # noqa: BLE001  (of a comparison)
            return "wrong", " | ".join(str(error).splitlines())
        return "same", ""


def tolerances(wanted):
    """Where terms cancel, what is left is as far off as the largest of them, and not the same in libtorch either."""
    relative, absolute = default_tolerances(wanted.dtype)
    if wanted.dtype not in (torch.float32, torch.float64, torch.complex64, torch.complex128) or not wanted.numel():
        return {"rtol": relative, "atol": absolute}
    largest = torch.nan_to_num(wanted.abs(), posinf=0).max().item()
    return {"rtol": relative, "atol": max(absolute, relative * largest)}


def seed(root):
    """Let a bundle draw the random numbers that torch drew: full with torch's generator, slim with one of its own."""
    torch.manual_seed(torch.initial_seed())
    slim = Path(root) / "lib" / "libaot_slim.so"
    if slim.exists():
        ctypes.CDLL(str(slim)).aot_slim_manual_seed(ctypes.c_uint64(torch.initial_seed()))


def copies(tensors):
    """The tensors in memory of their own that is laid out alike: offsets, strides, and what they share."""
    storages = {}
    made = []
    for tensor in tensors:
        storage = tensor.untyped_storage()
        copy = storages.setdefault(storage.data_ptr(), storage.clone())
        empty = torch.empty(0, dtype=tensor.dtype)
        made.append(empty.set_(copy, tensor.storage_offset(), tensor.shape, tensor.stride()))
    return made


def let_bundles_load(bundles, tell):
    """From here on, whatever loads what was compiled gets a `Beside`."""
    load = torch._inductor.aoti_load_package

    def load_package(path, *args, **kwargs):
        return Beside(load(path, *args, **kwargs), path, bundles, tell)

    torch._inductor.aoti_load_package = load_package
    # A library as such would be loaded once for each path, whatever has been compiled there since.
    torch._export.aot_load = lambda path, device: load_package(package_of_library(path, device))


def tests_of(suite):
    """The single tests of a suite."""
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests_of(each)
        else:
            yield each


class Errors(unittest.TestResult):
    """Keeps an error's own words in place of its traceback, below which PyTorch gives advice."""

    def _exc_info_to_string(self, err, test):
        return f"{err[0].__name__}: {' | '.join(str(err[1]).splitlines()[:3])}"


def run_in_child(test, bundles):
    """The lines that a child says about one test: (bundle, what, why), and ("torch", its own outcome, why)."""
    with tempfile.TemporaryFile("w+", buffering=1) as lines:

        def tell(*line):
            lines.write(json.dumps(line) + "\n")

        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS_A_TEST)
            let_bundles_load(bundles, tell)
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            result = Errors()
            test.run(result)
            bad = [text for _, text in (*result.errors, *result.failures)]
            outcome = "failed" if bad else "skipped" if result.skipped else "passed"
            tell("torch", outcome, bad[0] if bad else "")
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        lines.seek(0)
        told = [json.loads(line) for line in lines]
    return told, code


def verdicts(told, code, names):
    """By bundle: the worst of what became of one test, with the reason."""
    found = {}
    for name in names:
        mine = [line for line in told if line[0] == name and line[1] != "started"]
        started = sum(1 for line in told if line[:2] == [name, "started"])
        if started > len(mine):
            found[name] = ("crash", f"the process ended with {code}")
            continue
        order = ("wrong", "refused", "same")
        mine.sort(key=lambda line: order.index(line[1]))
        found[name] = tuple(mine[0][1:]) if mine else ("not run", "")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles")
    parser.add_argument("file", type=Path)
    parser.add_argument("-k", action="append", default=[], metavar="PATTERN", help="only tests whose name has this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all results")
    options = parser.parse_args()
    bundles = {Path(each).name: each for each in options.bundles.split(",")}
    sys.path[:0] = [str(Path(next(iter(bundles.values()))) / "runner"), str(Path.cwd())]
    torch._inductor.config.compile_threads = 1  # no processes of workers that a fork would share
    module = import_suite(options.file)
    compile_packages(module)
    counts = {name: collections.Counter() for name in ("torch", *bundles)}
    every = {}
    for test in tests_of(unittest.defaultTestLoader.loadTestsFromModule(module)):
        name = test.id().partition(".")[2]
        if options.k and not any(fnmatch.fnmatch(name, f"*{pattern}*") for pattern in options.k):
            continue
        begin = time.monotonic()
        told, code = run_in_child(test, bundles)
        found = verdicts(told, code, bundles)
        own = next((line[1:] for line in told if line[0] == "torch"), ["ended", str(code)])
        every[name] = {"torch": own, **found, "seconds": round(time.monotonic() - begin, 1)}
        counts["torch"][own[0]] += 1
        for bundle, (what, why) in found.items():
            counts[bundle][what] += 1
            if what not in ("same", "not run"):
                print(f"{bundle:5} {what:8} {name}: {why[:600]}", flush=True)
        if own[0] in ("failed", "ended"):
            print(f"torch {own[0]:8} {name}: {own[1][:200]}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(every, indent=1))  # each time: hours may be cut short
    for bundle, counted in counts.items():
        print(bundle, ", ".join(f"{count} {what}" for what, count in sorted(counted.items())))
    return int(any(counted["wrong"] + counted["crash"] for counted in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
