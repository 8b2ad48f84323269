"""Runs in an interpreter of the user's own with NumPy and torch: `aotrun` as a library. Prints JSON of what it saw.

python runner_library.py BUNDLE INPLACE.pt2 SILENT
INPLACE adds its second input to its first one in place; SILENT is its folder, which does not say so.
"""

from __future__ import annotations

import array
import ctypes
import gc
import json
import sys
import threading
import traceback

BUNDLE, INPLACE, SILENT = sys.argv[1:]
sys.path.insert(0, f"{BUNDLE}/runner")

import aotrun  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from aotrun.library import ffi  # noqa: E402

model = aotrun.load(BUNDLE, runners=4, threads=1)
x = np.random.default_rng(0).random((8, 64), dtype=np.float32)
y = np.array(model(x))
seen: dict[str, object] = {"repr": repr(model), "torch": model.description["torch_version"]}


class OnlyDLPack:
    """An array of a library that nobody has heard of."""

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __dlpack__(self, **options: object) -> object:
        return self.inner.__dlpack__(**options)  # type: ignore[attr-defined]

    def __dlpack_device__(self) -> object:
        return self.inner.__dlpack_device__()  # type: ignore[attr-defined]


class Raising:
    """A producer that keeps to no protocol."""

    def __init__(self, give: object) -> None:
        self.give = give

    def __dlpack__(self, **_options: object) -> object:
        return self.give()  # type: ignore[operator]

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


used = torch.zeros(8, 64).__dlpack__()
torch.from_dlpack(used)

read_only = x.copy()
read_only.flags.writeable = False
every_other = np.repeat(x, 2, axis=0)
values = {
    "numpy": x,
    "named": None,
    "fortran": np.asfortranarray(x),
    "strided": every_other[::2],
    "read-only": read_only,
    "torch": torch.from_numpy(x),
    "torch strided": torch.from_numpy(every_other)[::2],
    "dlpack": OnlyDLPack(x),
    "memoryview": memoryview(x.tobytes()).cast("f", x.shape),
    "array.array": memoryview(array.array("f", x.ravel())).cast("B").cast("f", x.shape),
    "nested list": x.tolist(),
    "own output": None,
}
agree = {}
for name, value in values.items():
    if name == "named":
        output = model(x=x)
    elif name == "own output":
        output = model(torch.from_dlpack(model(x)) @ torch.zeros(10, 64) + torch.from_numpy(x))
    else:
        output = model(value)
    agree[name] = bool(np.array_equal(np.asarray(output), y))
seen["agree"] = agree

# Several inputs; what the model changes in place is changed, unless it is read-only.
adding, silent = aotrun.load(INPLACE), aotrun.load(SILENT)
ones = np.ones(4, np.float32)
fixed = np.ones(4, np.float32)
fixed.flags.writeable = False
in_place: dict[str, object] = {"says": [spec.mutated for spec in (*adding.inputs, *silent.inputs, adding.outputs[0])]}
for name, state in {"numpy": ones.copy(), "torch": torch.ones(4), "strided": np.ones(8, np.float32)[::2]}.items():
    outputs = adding(state, fixed)
    in_place[name] = [np.asarray(outputs[0]).tolist(), np.asarray(state).tolist()]
for name, state in {
    "read-only": fixed,
    "bytes": memoryview(ones.tobytes()).cast("f"),
    "read-only, strided": np.broadcast_to(fixed, (2, 4))[1],
}.items():
    in_place[f"silent, {name}"] = [np.asarray(silent(state, ones)[0]).tolist(), np.asarray(state).tolist()]
seen["in place"] = in_place

# torch's lazy views and NumPy's masks: memory that does not show what Python does.
imaginary = torch.complex(torch.zeros(8, 64), torch.from_numpy(-x)).conj().imag
assert imaginary.is_neg()
negated = torch._neg_view(torch.from_numpy(-x))
seen["lazy"] = {
    "imaginary": bool(np.array_equal(np.asarray(model(imaginary)), y)),
    "negated": bool(np.array_equal(np.asarray(model(negated)), y)),
    "nothing masked": bool(np.array_equal(np.asarray(model(np.ma.masked_array(x))), y)),
}

# Inputs are borrowed: the library is given the caller's own address.
pointers = []
run = model._run_function


def spy(handle: object, views: object, *rest: object) -> object:
    view = ctypes.cast(views, ctypes.POINTER(ffi.View))[0]  # type: ignore[arg-type]
    pointers.append(view.data + view.byte_offset)
    return run(handle, views, *rest)


model._run_function = spy
for value, address in ((x, x.ctypes.data), (torch.from_numpy(x), x.ctypes.data), (read_only, read_only.ctypes.data)):
    pointers.clear()
    model(value)
    seen.setdefault("borrowed", []).append(pointers == [address])  # type: ignore[attr-defined]
model._run_function = run

# Outputs are shared: one address through every door, alive as long as anybody looks.
output = model(x)
doors = [np.asarray(output), output.numpy(), np.from_dlpack(output), torch.from_dlpack(output).numpy()]
if sys.version_info >= (3, 12):
    doors.append(np.asarray(memoryview(output)))
seen["addresses"] = len({door.__array_interface__["data"][0] for door in doors})
seen["list"] = output.tolist() == y.tolist()
seen["facts"] = [list(output.shape), output.dtype.name, list(output.strides), output.device, output.nbytes]
del output
gc.collect()
for _ in range(50):
    model(np.zeros_like(x))
seen["alive"] = [bool(np.array_equal(door, y)) for door in doors]
tensor = torch.from_dlpack(model(x))
capsule = model(x).__dlpack__()  # never consumed
del doors, capsule
gc.collect()
from aotrun.library import tensor as tensor_module  # noqa: E402

tensor_module._drop_refused()  # as the next capsule does
seen["held by consumers"] = len(tensor_module._exported)
del tensor
gc.collect()
seen["held by nobody"] = len(tensor_module._exported)

result = model.run(x)
seen["result"] = [list(result.outputs), result.latency_ms > 0, result.peak_rss_bytes > 0]

wrong: list[bool] = []
raised: list[str] = []


def work(seed: int) -> None:
    try:
        mine = np.random.default_rng(seed).random((seed + 1, 64), dtype=np.float32)
        expected = np.array(model(mine))
        wrong.extend(not np.array_equal(np.asarray(model(mine)), expected) for _ in range(200))
    except BaseException:  # noqa: BLE001  (what a thread raises would go unseen)
        raised.append(traceback.format_exc())


threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
seen["threads"] = [len(wrong), any(wrong)]
seen["raised"] = raised

errors = {}
for name, call in {
    "missing": model,
    "extra": lambda: model(x, x),
    "misnamed": lambda: model(z=x),
    "twice": lambda: model(x, x=x),
    "short list": lambda: model([1.0]),
    "text": lambda: model("1.0"),
    "dtype": lambda: model(x.astype("f8")),
    "shape": lambda: model(x[:, :3]),
    "rank": lambda: model(x[0]),
    "range": lambda: model(np.zeros((0, 64), "f4")),
    "byte order": lambda: model(x.astype(">f4")),
    "objects": lambda: model(np.zeros((8, 64), object)),
    "odd strides": lambda: model(np.zeros((8, 64), [("a", "u1"), ("b", "<f4")])["b"]),
    "grad": lambda: model(torch.zeros(8, 64, requires_grad=True)),
    "read-only": lambda: adding(fixed, ones),
    "negated": lambda: adding(torch._neg_view(torch.ones(4)), ones),
    "masked": lambda: model(np.ma.masked_array(x, x > 0.5)),
    "zeros without memory": lambda: model(torch._efficientzerotensor((8, 64))),
    "no capsule": lambda: model(Raising(lambda: 3)),
    "used capsule": lambda: model(Raising(lambda: used)),
    "raising": lambda: model(Raising(lambda: {}["absent"])),
    "no bundle": lambda: aotrun.load("/"),
    "no file": lambda: aotrun.load("/missing.pt2"),
    "no model": lambda: aotrun.load(BUNDLE, model="nope"),
    "device": lambda: aotrun.load(BUNDLE, device="tpu"),
}.items():
    try:
        call()
    except aotrun.AotError as error:
        errors[name] = [type(error).__name__, str(error)]
with model:
    pass
try:
    model(x)
except aotrun.UsageError as error:
    errors["closed"] = [type(error).__name__, str(error)]
seen["errors"] = errors
print(json.dumps(seen))
