"""`aotrun check`: is the bundle whole, does this machine serve it, and does a model give what it gave at export."""

from __future__ import annotations

import os
import stat
import sys
from ctypes import byref

from aotrun.arrays.closeness import compare, tolerances
from aotrun.commands.session import model_path, open_model
from aotrun.errors import AotError, DamagedError, MachineMismatchError, RunError, printable, refused
from aotrun.formats import bundle_files
from aotrun.formats.documents import SCHEMA, dumps
from aotrun.library import bundle, ffi
from aotrun.library.sample import read_sample, recorded, sample_inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

    from aotrun.arrays.array import Array
    from aotrun.library.model import Model
    from aotrun.library.tensor import Tensor


def main(values: Dict[str, Any]) -> int:
    """Run the command; returns 0, or the exit code of the first check that failed."""
    checks: List[Tuple[str, Callable[[], str]]] = [
        ("files", _files),
        ("cpu", lambda: _cpu(values)),
        ("device", lambda: _device(values)),
    ]
    if values["model"] is not None:
        checks.append(("model", lambda: _model(values)))
    code = 0
    results = []
    for name, check in checks:
        try:
            result: Dict[str, Any] = {"name": name, "ok": True, "detail": check()}
        except AotError as error:
            code = code or error.exit_code
            result = {"name": name, "ok": False, "detail": error.what, "meaning": error.meaning, "fix": error.fix}
        results.append(result)
        if not values["json"] and not (values["quiet"] and result["ok"]):
            _tell(result)
    if values["json"]:
        print(dumps({"schema": SCHEMA, "bundle": bundle.NAME, "ok": code == 0, "checks": results}))
    return code


def _tell(result: Mapping[str, Any]) -> None:
    mark = "ok    " if result["ok"] else "FAILED"
    print(f"{mark} {result['name']:<7} {printable(result['detail'])}", file=sys.stdout if result["ok"] else sys.stderr)
    for key in ("meaning", "fix"):
        if result.get(key):
            print(f"               {printable(result[key])}", file=sys.stderr)


def _files() -> str:
    """Every file of bundle.json is there, with its size. To compare contents takes as long as to read them."""
    records = bundle.manifest(bundle.HERE).get("files", [])
    total = 0
    for record in records:
        path = os.path.join(bundle.HERE, record["path"])
        size = _size(path)
        if "link" in record:
            found, wanted = bundle_files.exists(path), True
        else:
            found, wanted = size is not None, size == record.get("size", 0)
            total += size or 0
        if not found or not wanted:
            problem = "is missing" if not found else f"has {size} bytes, not {record.get('size', 0)}"
            raise DamagedError(
                f"{record['path']} {problem}",
                f"{record.get('reason', 'The bundle needs it')}.",
                "Copy the whole bundle again.",
            )
    # So that nobody takes this for more than it is.
    return f"{len(records)} files, {total / 1e6:.1f} MB; contents are compared by: aotrun doctor"


def _size(path: str) -> Optional[int]:
    """Bytes of a regular file; None when there is none."""
    try:
        status = os.stat(path)
    except NotADirectoryError:
        return bundle_files.size_of(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refused(path, error) from None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _cpu(values: Mapping[str, Any]) -> str:
    """This CPU has what the models' code needs."""
    import json

    have = set(json.loads(ffi.bridge(bundle.lib_folder(bundle.HERE)).aot_build_info()).get("cpu_features", []))
    models = bundle.manifest(bundle.HERE).get("models", {})
    if values["model"] in models:
        models = {values["model"]: models[values["model"]]}
    for name, metadata in models.items():
        missing = [feature for feature in metadata.get("cpu_features", []) if feature not in have]
        if missing:
            raise MachineMismatchError(
                f"model {name} needs {', '.join(missing)}",
                "This CPU has not got these instructions; the model would be killed by the first of them.",
                "Export it with --cpu-isa portable, or run it on a newer CPU.",
            )
    wanted = sorted({feature for metadata in models.values() for feature in metadata.get("cpu_features", [])})
    return f"has {' '.join(wanted)}" if wanted else "nothing special asked for"


def _device(values: Mapping[str, Any]) -> str:
    """The device answers and gives back what was put there."""
    described = bundle.manifest(bundle.HERE)
    # A bundle for a GPU may hold models for the CPU.
    model = described.get("models", {}).get(values["model"], {})
    device = values["device"] or model.get("device") or described.get("backend", "cpu")
    library = ffi.bridge(bundle.lib_folder(bundle.HERE))
    report = ffi.DeviceReport()
    ffi.check(library, library.aot_device_check(device.encode(), byref(report)))
    name = report.name.decode("utf-8", "replace")
    memory = f", {report.used_bytes / 1e9:.1f} of {report.total_bytes / 1e9:.1f} GB used" if report.total_bytes else ""
    return f"{device}: {name}{memory}, self-test {report.self_test_ms:.2f} ms"


def _model(values: Mapping[str, Any]) -> str:
    """The model loads, and gives for the recorded inputs what it gave at export."""
    sample = read_sample(model_path(values["model"]))
    model = open_model(values)
    inputs = sample_inputs(sample, model.inputs) if sample else None
    if sample is None or inputs is None:
        return f"{values['model']}: loads; the package has no recorded sample to run"
    result = model.run(*inputs)
    worst = _compare(model, result.outputs, sample)
    form = f"{values['model']}, variant {model.variant}" if model.variant else values["model"]
    mapped = f"; prepared weights of {model.prepared}" if model.prepared else ""
    return f"{form}: as recorded at export (largest error {worst:.3g}), {result.latency_ms:.3f} ms{mapped}"


def _compare(model: Model, outputs: Mapping[str, Tensor], sample: Mapping[str, Array]) -> float:
    """The largest absolute error. Raises RunError when an output differs from the recorded one beyond tolerance."""
    worst = 0.0
    allowed = tolerances(model.description.get("precision", ()))
    for name, tensor in outputs.items():
        if f"out.{name}" not in sample:
            continue
        wanted_array = recorded(sample[f"out.{name}"], tensor.dtype)
        if (tensor.dtype.name, tensor.shape) != (wanted_array.dtype.name, wanted_array.shape):
            raise _differs(model, name, f"is {tensor!r}, recorded {wanted_array.dtype.name}{list(wanted_array.shape)}")
        got, wanted = tensor.flat(), wanted_array.tolist()
        error, wrong = compare(got, wanted, allowed.get(tensor.dtype.name, 0.0))
        if wrong is not None:
            raise _differs(model, name, f"has {got[wrong]} at element {wrong}, recorded {wanted[wrong]}")
        worst = max(worst, error)
    return worst


def _differs(model: Model, name: str, what: str) -> RunError:
    return RunError(
        f"{os.path.basename(model.path)}: output {name} {what}",
        "The model computes something else here than where it was exported.",
        "Run: BUNDLE/bin/aotrun doctor, which compares every file, and report it if the bundle is whole.",
    )
