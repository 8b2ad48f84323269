"""`aotpack export` with a real torch: every example, every way to fail."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aotpack import resources
from aotpack.errors import AotpackError, BuildToolError, ModelMismatchError, UsageError
from aotpack.exporting.driving import ExportRequest, export
from aotpack.package.metadata import DynamicDim, ModelMetadata
from aotpack.package.model import ModelInfo, read_model
from tests.support.packages import export_workers
from tests.support.packages.exporting import ROOT, Silent, cached_export

Exported = Callable[..., Path]

EXAMPLES = ("mlp", "convnet", "transformer", "multi", "data_dependent", "inplace", "no_shim")


def read(package: Path) -> ModelInfo:
    model = read_model(package)
    assert model.metadata.has_signature
    assert model.metadata.torch_version
    assert model.metadata.aotpack_version
    return model


def sample(package: Path) -> dict[str, np.ndarray]:
    model = read_model(package)
    entry = next(entry for entry, name in model.members if name == "sample.npz")
    with zipfile.ZipFile(package) as archive:
        return dict(np.load(io.BytesIO(archive.read(entry))))


def library(package: Path, folder: Path) -> Path:
    """model.so, unpacked."""
    entry = next(entry for entry, name in read_model(package).members if name == "model.so")
    path = folder / "model.so"
    with zipfile.ZipFile(package) as archive:
        path.write_bytes(archive.read(entry))
    return path


def signature(metadata: ModelMetadata) -> dict[str, str]:
    """`{"x": "float32[batch=1..1024, 64]"}` for inputs and outputs alike."""

    def size(dim: int | DynamicDim | None) -> str:
        return f"{dim.symbol}={dim.min}..{dim.max}" if isinstance(dim, DynamicDim) else str(dim)

    return {
        spec.name: f"{spec.dtype}[{', '.join(map(size, spec.dims))}]" for spec in metadata.inputs + metadata.outputs
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_fixtures_agree_with_eager_and_carry_a_sample(exported: Exported, name: str) -> None:
    package = exported(name)
    model = read(package)
    recorded = sample(package)
    assert {key for key in recorded if key.startswith("in.")} == {f"in.{spec.name}" for spec in model.metadata.inputs}
    assert {key for key in recorded if key.startswith("out.")} == {
        f"out.{spec.name}" for spec in model.metadata.outputs
    }


def test_signature_with_a_dynamic_batch(exported: Exported) -> None:
    assert signature(read(exported("mlp")).metadata) == {
        "x": "float32[batch=1..1024, 64]",
        "output0": "float32[batch=1..1024, 10]",
    }


def test_signature_of_nested_inputs_and_named_outputs(exported: Exported) -> None:
    metadata = read(exported("multi")).metadata
    assert signature(metadata) == {
        "batch.ids": "int64[rows=1..100, 5]",
        "batch.mask": "bool[rows=1..100, 5]",
        "items.0": "float32[4]",
        "items.1": "int8[3]",
        "scale": "float32[]",
        "embedded": "float32[rows=1..100, 5, 8]",
        "counts": "int32[rows=1..100]",
        "pair.0": "bfloat16[4]",
        "pair.1": "bool[3]",
        "spectrum": "complex64[4]",
        "half": "float16[4]",
        "double": "float64[]",
    }
    assert metadata.notes == ("input steps is not a tensor: its value 3 is fixed in the package",)


def test_sizes_known_only_after_the_run(exported: Exported) -> None:
    outputs = read(exported("data_dependent")).metadata.outputs
    assert [spec.dims for spec in outputs] == [(None, 1), (None,), ()]


def test_an_input_is_recorded_as_it_was_before_the_call(exported: Exported) -> None:
    recorded = sample(exported("inplace"))
    assert not recorded["in.state"].any()
    np.testing.assert_array_equal(recorded["out.output0"], recorded["in.x"])


def test_ops_without_a_shim_are_named(exported: Exported) -> None:
    assert "aten::_linalg_svd" in read(exported("no_shim")).extern_ops
    assert not read(exported("mlp")).needs_proxy


def test_a_call_leaves_no_trace_in_a_buffer_that_is_assigned(backend_python: Path) -> None:
    program = """
        import pathlib, sys, torch
        sys.path.insert(0, sys.argv[1])
        from worker import subject
        from worker.eager import running
        class Counter(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("calls", torch.zeros(1))
                self.register_buffer("sum", torch.zeros(1))
            def forward(self, x):
                self.calls = self.calls + 1
                self.sum += x.sum()
                return x + self.calls + self.sum
        subject = subject.Subject(pathlib.Path("m.py"), Counter(), (torch.ones(2),), {}, None, torch.device("cpu"))
        running.run_eager(subject, subject.args, subject.kwargs)
        print(*(float(buffer) for buffer in subject.module.buffers()))
    """
    command = [backend_python, "-c", inspect.cleandoc(program), resources.PACKAGE / "exporting"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "0.0 0.0\n"


def test_gradients_of_before_an_export_are_there_after_it_and_so_are_modes(backend_python: Path) -> None:
    """As a notebook wants it: nothing is written into a buffer that a gradient needs."""
    program = """
        import sys, torch
        sys.path.insert(0, sys.argv[1])
        import torch._inductor
        from worker import guest
        traced = torch.jit.trace(torch.nn.Sequential(torch.nn.ReLU()), torch.ones(2))
        module = torch.nn.Sequential(traced, torch.nn.ReLU())
        module.register_buffer("scale", torch.full((2,), 3.0))
        x = torch.ones(2, requires_grad=True)
        scores = (x * module.scale).sum()
        with guest.left_as_it_was(module):
            module.eval()
        scores.backward()
        print(x.grad.tolist(), all(each.training for each in module.modules()))
    """
    command = [backend_python, "-c", inspect.cleandoc(program), resources.PACKAGE / "exporting"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "[3.0, 3.0] True\n", done.stderr


def test_guards_of_a_program_that_was_saved_and_loaded(backend_python: Path) -> None:
    """They are in its own checks, which are traced with it."""
    program = """
        import io, pathlib, sys, torch
        sys.path.insert(0, sys.argv[1])
        from worker import subject
        from worker.eager import running
        from worker.graph import sizing
        class Sized(torch.nn.Module):
            def forward(self, x, y, z):
                return x.reshape(6, -1) + 1, z.reshape(y.shape) + y
        inputs = (torch.ones(24), torch.ones(3, 4), torch.ones(12))
        any_size = torch.export.Dim.DYNAMIC
        sizes = ({0: any_size}, {0: any_size, 1: any_size}, {0: any_size})
        saved = io.BytesIO()
        torch.export.save(torch.export.export(Sized(), inputs, dynamic_shapes=sizes), saved)
        saved.seek(0)
        loaded = torch.export.load(saved).module()
        subject = subject.Subject(pathlib.Path("m.py"), loaded, inputs, {}, sizes, torch.device("cpu"))
        run = running.run_eager(subject, subject.args, subject.kwargs)
        described = sizing.export(subject, run, allow_fixed=False, note=print).described
        print(*(guard.text for guard in described.guards), sep="\\n")
    """
    command = [backend_python, "-c", inspect.cleandoc(program), resources.PACKAGE / "exporting"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "x.shape[0] is a multiple of 6" in done.stdout
    assert "z.shape[0] == y.shape[0] * y.shape[1]" in done.stdout


def test_pytorch_itself_opens_the_package(exported: Exported, backend_python: Path) -> None:
    program = """
        import sys, torch
        model = torch._inductor.aoti_load_package(sys.argv[1])
        x = torch.ones(3, 64)
        print(tuple(model(x).shape), sorted(model.get_metadata()))
    """
    command = [backend_python, "-c", inspect.cleandoc(program), exported("mlp")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("(3, 10) ['AOTI_")
    assert "'aotpack'" in done.stdout
    assert "outdated" not in done.stderr


def test_weights_lie_apart_and_floors_are_those_of_the_code(exported: Exported) -> None:
    package = exported("mlp")
    model = read(package)
    entry = next(entry for entry, name in model.members if name == "weights.blob")
    with zipfile.ZipFile(package) as archive:
        assert archive.getinfo(entry).file_size >= 4 * (64 * 256 + 256 * 10)
    keys = metadata_keys(package)
    recorded = json.loads(keys["aotpack"])
    assert recorded["floors"]["glibc"] == model.metadata.floors.glibc
    assert recorded["compiler"]
    assert "libtorch_cpu.so" in model.needed


REPLACED_WEIGHTS = """
import sys, torch
from torch._inductor import aoti_load_package
model = aoti_load_package(sys.argv[1])
names = model.get_constant_fqns()
zeros = {"scores.weight": torch.zeros(10, 256), "scores.bias": torch.zeros(10)}
model.load_constants(zeros, check_full_update=False)
print(sorted(names), float(model(torch.ones(8, 64)).abs().max()))
"""


def test_updatable_constants_can_be_replaced_by_name(exported: Exported, backend_python: Path) -> None:
    command = [backend_python, "-c", REPLACED_WEIGHTS, exported("mlp", constants="updatable")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['hidden.bias', 'hidden.weight', 'scores.bias', 'scores.weight'] 0.0"


def metadata_keys(package: Path) -> dict[str, str]:
    with zipfile.ZipFile(package) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".wrapper_metadata.json"))
        keys: dict[str, str] = json.loads(archive.read(name))
        return keys


def test_avx2_means_no_avx512(exported: Exported, tmp_path: Path) -> None:
    package = exported("decoder", cpu_isa="avx2")
    features = read(package).metadata.cpu_features
    assert {"avx2", "fma"} <= set(features)
    assert not [feature for feature in features if "avx512" in feature or "amx" in feature]
    listing = subprocess.run(["objdump", "-d", library(package, tmp_path)], capture_output=True, text=True, check=True)
    assert re.search(r"%ymm\d", listing.stdout)
    assert not re.search(r"%zmm\d|%ymm(1[6-9]|2\d|3\d)|%k[1-7]\b", listing.stdout)


def test_native_vectorises(exported: Exported) -> None:
    # A cold cache once made Inductor conclude that there are no vectors at all.
    for options in ({}, {"constants": "updatable"}):
        assert metadata_keys(exported("mlp", **options))["AOTI_CPU_ISA"] != "INVALID_VEC_ISA"


def test_precompiled_headers_change_no_byte(exported: Exported, backend_python: Path, tmp_path: Path) -> None:
    """What tests export with them (tests/support/packages/precompiled_headers.py) is what users export."""
    request = ExportRequest(ROOT / "examples" / "inplace.py", "model", tmp_path / "inplace.pt2", cpu_isa="native")
    export(request, backend_python, Silent())
    assert (tmp_path / "inplace.pt2").read_bytes() == exported("inplace").read_bytes()


def test_no_regular_expression_is_compiled_into_a_model(exported: Exported, tmp_path: Path) -> None:
    assert b"regex" not in library(exported("mlp"), tmp_path).read_bytes()


def test_features_are_those_of_the_code_not_of_this_machine(exported: Exported, tmp_path: Path) -> None:
    """Whatever this CPU has, float32 products need no tiles, halves or bytes."""
    package = exported("mlp")
    features = set(read(package).metadata.cpu_features)
    assert "avx" in features
    assert not [name for name in features if name.startswith("amx") or name.endswith(("vnni", "bf16", "fp16"))]
    listing = subprocess.run(["objdump", "-d", library(package, tmp_path)], capture_output=True, text=True, check=True)
    assert ("avx512f" in features) == bool(re.search(r"%zmm\d|%ymm(1[6-9]|2\d|3\d)|%k[1-7]\b", listing.stdout))


def test_small_products_need_no_matrix_library(exported: Exported) -> None:
    model = read(exported("mlp"))
    assert model.metadata.frozen
    # Small products are generated code, whatever a clock on a busy machine would say.
    products = {"aoti_torch_cpu__mkl_linear", "aoti_torch_cpu__linear_pointwise", "aoti_torch_cpu_addmm_out"}
    assert not products & set(model.imports)


LARGE_PRODUCT = """
import torch
from torch import nn

class Counting(nn.Linear):
    def __init__(self):
        super().__init__(1024, 512)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return super().forward(x)

def model():
    return Counting().eval(), (torch.randn(1, 1024),)
"""


def test_small_products_are_generated_and_large_weights_are_stored_once(
    exported: Exported, backend_venv: Path, tmp_path: Path
) -> None:
    assert not [name for name in read_model(exported("mlp")).shim_symbols if "addmm" in name or "mm_out" in name]
    source = tmp_path / "large.py"
    source.write_text(LARGE_PRODUCT)
    package = cached_export(backend_venv, source)
    assert "aoti_torch_cpu_addmm_out" in read_model(package).shim_symbols
    assert not read_model(package).metadata.frozen
    (blob,) = [entry for entry in zipfile.ZipFile(package).infolist() if entry.filename.endswith(".blob")]
    assert blob.file_size < 1.01 * 4 * (1024 * 512 + 512)


# ---- what cannot be had -------------------------------------------------------------------------------------------

MODULES = """
import torch
from torch import nn

@torch.library.custom_op("mylab::scale", mutates_args=())
def scale(x: torch.Tensor, k: float) -> torch.Tensor:
    return x * k

@scale.register_fake
def _(x, k):
    return torch.empty_like(x)

class Plain(nn.Module):
    def forward(self, x):
        return x + 1

class OneSize(nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[0] == 8 else x * 3

class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

class Random(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.0, False) * 2, x + torch.rand_like(x)

class Differs(nn.Module):
    def forward(self, x):
        return x * 2 if torch.compiler.is_compiling() else x * 3

class Refuses(nn.Module):
    def forward(self, x):
        return x.reshape(3, 5)

class Fixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(160, 8)
    def forward(self, x, image, a, b):
        return self.linear(x.reshape(x.shape[0], 160)), nn.functional.adaptive_avg_pool2d(image, 4), a - b

class Pyramid(nn.Module):
    def forward(self, x):
        return nn.functional.max_pool2d(nn.functional.conv2d(x, torch.ones(4, 3, 3, 3)), 2, 2, ceil_mode=True)

class Number(nn.Module):
    def forward(self, x, n: int):
        return x * n, torch.arange(n)

class Attribute(nn.Module):
    def __init__(self):
        super().__init__()
        self.cache = torch.zeros(4)
    def forward(self, x):
        self.cache += x[0]
        return self.cache * 2

class Calls(nn.Module):
    def forward(self, x):
        return scale(x, 2.5)

class Complex(nn.Module):
    def forward(self, x):
        return x + torch.ones(2, 1, dtype=torch.complex64)

class Pairs(nn.Module):
    def forward(self, pairs, x):
        return pairs + x.repeat(2, 1), torch.cat([pairs, x])

x = torch.randn(8, 4)

def derived():
    batch = torch.export.Dim("batch", min=1, max=16)
    return Pairs().eval(), (x, x[:4]), ({0: 2 * batch}, {0: batch})

class Patches(nn.Module):
    def forward(self, x, y):
        return x.unflatten(0, (-1, 49)).sum(1), y[1:].unflatten(0, (-1, 3)).sum(1)

def patches():
    n, m = torch.export.Dim("n", min=1, max=32), torch.export.Dim("m", min=1, max=32)
    return Patches().eval(), (torch.ones(4 * 49, 2), torch.ones(16, 2)), ({0: 49 * n}, {0: 3 * m + 1})
def dynamic(): return OneSize().eval(), (x,), ({0: torch.export.Dim("batch", min=2, max=64)},)
def hinted(): return OneSize().eval(), (x,), ({0: torch.export.Dim.DYNAMIC},)
def pyramid():
    h = torch.export.Dim("h", min=16, max=2048)
    return Pyramid().eval(), (torch.randn(1, 3, 120, 160),), ({2: h},)
def some_fixed():
    Dim = torch.export.Dim
    dims = ({0: Dim("batch", min=1, max=64), 1: Dim("frames", min=8, max=160)}, {2: Dim.DYNAMIC, 3: Dim.DYNAMIC})
    a, b = torch.randn(2, 3, dtype=torch.complex64), torch.randn(2, 3, dtype=torch.complex64)
    return Fixing().eval(), (torch.rand(3, 16, 10), torch.rand(1, 3, 16, 16), a, b), (*dims, None, None)
def number(): return Number().eval(), (x, 5), (None, torch.export.Dim.DYNAMIC)
def attribute(): return Attribute().eval(), (x,)
def scripted(): return torch.jit.trace(Plain(), x), (x,)
def python_only(): return Calls().eval(), (x,)
def complex_constant(): return Complex().eval(), (torch.randn(2, 3, dtype=torch.complex64),)
def branches(): return Branches().eval(), (x,)
def random(): return Random().eval(), (x,)
def differs(): return Differs().eval(), (x,)
def refuses(): return Refuses().eval(), (x,)
def raises(): raise KeyError("key")
def imports(): import there_is_no_such_module
def nothing(): return None
def swapped(): return (x,), Plain()
def bare(): return Plain(), x
def three(): return Plain(), 3
def array(): return Plain().eval(), (x.numpy(),)
def sparse(): return Plain().eval(), (x.to_sparse(),)
def float8(): return Plain().eval(), (x.to(torch.float8_e4m3fn),)
not_callable = 3
"""


def at(line: str) -> str:
    number = next(number for number, text in enumerate(MODULES.splitlines(), start=1) if line in text)
    return f"at modules.py line {number}: {line}"


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("modules") / "modules.py"
    path.write_text(MODULES)
    return path


def failure(python: Path, modules: Path, function: str, kind: type[AotpackError], **options: bool) -> AotpackError:
    """Exporting fails with three lines and leaves nothing behind."""
    output = modules.parent / f"{function}.pt2"
    request = ExportRequest(modules, function, output, **{"cpu_isa": "native", **options})
    with pytest.raises(AotpackError) as caught:
        export(request, python, Silent(), begin=export_workers.forked)
    assert type(caught.value) is kind
    assert len(str(caught.value).splitlines()) == 3
    assert "Traceback" not in str(caught.value)
    assert not [path for path in modules.parent.iterdir() if path.suffix == ".pt2" or path.name.startswith(".")]
    return caught.value


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("raises", f"modules.py:raises() raised KeyError: 'key'\n{at('def raises(): raise')}"),
        ("imports", "pip install there_is_no_such_module"),
        ("nothing", "modules.py:nothing returned None"),
        ("swapped", "returned a tuple where the module belongs"),
        ("bare", "returned a tensor where the inputs belong"),
        ("three", "returned an int where the inputs belong"),
        ("array", "input x is a ndarray"),
        ("sparse", "input x is a sparse_coo tensor of float32"),
        ("float8", "input x is a tensor of float8_e4m3fn"),
        ("refuses", f"sizes [8, 4]: shape '[3, 5]' is invalid for input of size 32\n{at('return x.reshape(3, 5)')}"),
        ("number", "input n: a symbolic integer is unsupported as an input"),
        (
            "attribute",
            f"is no buffer\ntorch.export carries a state in buffers alone; it is changed {at('self.cache += x[0]')}",
        ),
        ("scripted", "the module is a TorchScript module, which torch.export cannot trace"),
        ("not_callable", "'not_callable' is not a function\nit defines array, attribute, bare, branches"),
        ("absent", "there is no function 'absent'"),
    ],
)
def test_what_the_user_can_get_wrong(backend_python: Path, modules: Path, function: str, expected: str) -> None:
    assert expected in str(failure(backend_python, modules, function, UsageError))


def test_a_syntax_error(backend_python: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("\ndef f(:\n")
    assert "at broken.py line 2: def f(" in str(failure(backend_python, path, "f", UsageError))


def test_what_torch_export_cannot_trace_names_the_line(backend_python: Path, modules: Path) -> None:
    error = failure(backend_python, modules, "branches", AotpackError)
    assert at("return x if x.sum() > 0 else -x") in error.meaning


def test_a_package_that_differs_from_eager_is_not_kept(backend_python: Path, modules: Path) -> None:
    error = failure(backend_python, modules, "differs", AotpackError, verify=True)
    assert re.search(r"x \[8, 4\]: output output0: largest error [\d.]+ absolute", error.what)


def test_what_random_numbers_decide_is_neither_recorded_nor_compared(backend_venv: Path, modules: Path) -> None:
    package = cached_export(backend_venv, modules, function="random")
    assert sorted(sample(package)) == ["in.x", "out.output0"]
    (note,) = read(package).metadata.notes
    assert "random numbers decide output output1" in note


@pytest.mark.parametrize(
    ("function", "demand", "reason"),
    [
        ("dynamic", "torch.export demands batch = 8", "You marked batch as dynamic but your code specialized it"),
        ("hinted", "torch.export demands x.shape[0] = 8", "You marked x.shape[0] as dynamic"),
        ("pyramid", "torch.export demands h = 2*_h", "Not all values of h = x.shape[2] in the specified range 16 <= h"),
    ],
)
def test_sizes_that_cannot_vary_are_an_error_in_the_users_terms(
    backend_python: Path, modules: Path, function: str, demand: str, reason: str
) -> None:
    error = failure(backend_python, modules, function, ModelMismatchError)
    assert error.exit_code == 5
    assert error.what == f"the sizes cannot vary as asked: {demand}"
    assert reason in error.meaning
    assert demand.removeprefix("torch.export demands ") in error.fix
    assert error.fix.endswith("or accept it with --allow-fixed")


def test_a_size_that_cannot_vary_leaves_the_others_as_they_were(backend_venv: Path, modules: Path) -> None:
    """One that torch.export fixes, one that Inductor fixes while it compiles, and one that varies."""
    metadata = read(cached_export(backend_venv, modules, function="some_fixed", allow_fixed=True)).metadata
    assert signature(metadata)["x"] == "float32[batch=1..64, 16, 10]"
    assert signature(metadata)["image"] == "float32[1, 3, 16, 16]"
    assert signature(metadata)["output2"] == "complex64[2, 3]"
    torch_fixed, inductor_fixed = (note for note in metadata.notes if "cannot vary" in note)
    assert "frames = 16" in torch_fixed
    assert "image.shape[2] = 16, image.shape[3] = 16" in inductor_fixed


def test_an_op_that_exists_in_python_alone_is_refused(backend_python: Path, modules: Path) -> None:
    error = failure(backend_python, modules, "python_only", ModelMismatchError)
    assert error.what.startswith("the op mylab::scale exists in Python alone")
    assert at("return scale(x, 2.5)") in error.meaning


def test_what_inductor_cannot_compile_names_the_op_and_the_line(backend_python: Path, modules: Path) -> None:
    error = failure(backend_python, modules, "complex_constant", AotpackError)
    assert error.what.startswith("AOTInductor failed on aten.full.default: ")
    assert at("return x + torch.ones(2, 1, dtype=torch.complex64)") in error.meaning


def test_derived_sizes(backend_venv: Path, modules: Path) -> None:
    metadata = read(cached_export(backend_venv, modules, function="derived")).metadata
    pairs, x = metadata.inputs
    assert pairs.dims[0] == DynamicDim("2*batch", 2, 32, of="batch", factor=2)
    assert x.dims[0] == DynamicDim("batch", 1, 16)
    assert metadata.outputs[0].dims[0] == pairs.dims[0]
    assert metadata.outputs[1].dims[0] == DynamicDim("3*batch", 3, 48, of="batch", factor=3)


def test_derived_sizes_whose_base_no_input_has(backend_venv: Path, modules: Path) -> None:
    """Verified from 98 rows on, of which `(1.0/49.0)*rows` would be 1: the code divides whole numbers."""
    package = cached_export(backend_venv, modules, function="patches")
    dims = [each.dims[0] for each in read(package).metadata.inputs]
    assert dims == [
        DynamicDim("49*n", 98, 1568, of="n", factor=49),
        DynamicDim("3*m + 1", 7, 97, of="m", factor=3, offset=1),
    ]
    with zipfile.ZipFile(package) as archive:
        (wrapper,) = (name for name in archive.namelist() if name.endswith(".wrapper.cpp"))
        code = archive.read(wrapper).decode()
    assert "div_floor_integer" in code
    assert "1.0/" not in code


def test_without_a_compiler(backend_python: Path, modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nonexistent/g++")
    assert "/nonexistent/g++" in failure(backend_python, modules, "random", BuildToolError).what


def test_a_compiler_with_launcher_or_flags(
    backend_python: Path, modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build takes what torch does not; what is advised instead works."""
    monkeypatch.setenv("CXX", "env g++ -pipe")
    error = failure(backend_python, modules, "random", BuildToolError)
    assert error.what == "CXX=env g++ -pipe: PyTorch takes a single program, without a launcher or flags"
    script = tmp_path / "g++"
    script.write_text(f"#!/bin/sh\n{error.fix.partition(': ')[2]}\n")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    request = ExportRequest(file=modules, function="random", output=tmp_path / "model.pt2", cpu_isa="native")
    export(request, backend_python, Silent())


def test_the_environment_does_not_choose_the_torch(
    backend_python: Path, modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('the wrong torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    failure(backend_python, modules, "nothing", UsageError)


def test_command_line(exported: Exported, tmp_path: Path, backend_venv: Path, modules: Path) -> None:
    """Exit codes and streams; the export itself is tested above."""
    command = [os.sys.executable, "-m", "aotpack", "export", f"{modules}:raises", "--output", "m.pt2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "toolchain")}
    done = subprocess.run(
        [*command, "--venv", backend_venv], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "importing torch and modules.py"
    assert lines[1] == "error: modules.py:raises() raised KeyError: 'key'"
    assert len(lines) == 4
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [*command, "--venv", "empty"], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 3
    assert "aotpack init" in done.stderr
