"""A double of a GPU within the process that exports: what torch and Triton ask of one, without a driver.

Runs in the environment of a CUDA torch before the worker does (`begin`). Modules stay on the CPU, where eager PyTorch
runs them; the graph that torch.export makes of one is moved to a device whose tensors have no values. All that compiles
is torch's, Triton's and NVIDIA's own: no kernel is ever loaded or run. Of several forms of a kernel the first is taken.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

#: Compute capability of the GPU that there is not.
CAPABILITY = (9, 0)
_PLACE = "cuda:0"


def begin(python: Path, log: IO[bytes], workspace: Path) -> Any:
    """In place of `aotpack.exporting.driving.new_process`."""
    return _begin(python, log, workspace, "pass")


def begin_on(major: int, minor: int) -> Any:
    """The same with another GPU."""

    def begin_there(python: Path, log: IO[bytes], workspace: Path) -> Any:
        return _begin(python, log, workspace, "pass", (major, minor))

    return begin_there


def begin_without_targets(python: Path, log: IO[bytes], workspace: Path) -> Any:
    """The same with a torch that compiles for the GPU it sees and no other."""
    return _begin(python, log, workspace, "from torch._inductor import codecache; del codecache._cuda_fatbin_command")


@contextlib.contextmanager
def _begin(
    python: Path, log: IO[bytes], workspace: Path, more: str, capability: tuple[int, int] = CAPABILITY
) -> Iterator[Any]:
    from aotpack.exporting import driving

    # The linker is content with any library of the driver's name.
    driver = workspace / "driver" / "libcuda.so"
    driver.parent.mkdir()
    command = ["cc", "-shared", "-x", "c", "/dev/null", "-Wl,-soname,libcuda.so.1", "-o", str(driver)]
    subprocess.run(command, check=True)
    environment = {
        **os.environ,
        "CUDA_HOME": os.environ.get("CUDA_HOME", "/usr/local/cuda"),
        "LIBRARY_PATH": str(driver.parent),
        "TORCHINDUCTOR_CACHE_DIR": str(workspace / "cache"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    us = f"import runpy; runpy.run_path({__file__!r})['install']({capability}); {more}; "
    worker = subprocess.Popen(
        [str(python), "-I", "-c", us + driving._BOOTSTRAP, str(Path(driving.__file__).with_name("worker"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        encoding="utf-8",
        env=environment,
    )
    try:
        yield worker
    finally:
        worker.kill()
        worker.communicate()


def install(capability: tuple[int, int]) -> None:
    """From now on this process has a GPU."""
    _be_seen(*capability)
    _be_compiled_for(*capability)
    _be_exported_for()


def _be_seen(major: int, minor: int) -> None:
    import torch
    from torch._dynamo.device_interface import CudaInterface

    properties = SimpleNamespace(
        name="double",
        major=major,
        minor=minor,
        gcnArchName="",
        multi_processor_count=132,
        total_memory=80 << 30,
        regs_per_multiprocessor=65536,
        max_threads_per_multi_processor=2048,
        max_threads_per_block=1024,
        warp_size=32,
        shared_memory_per_block=48 << 10,
        shared_memory_per_block_optin=227 << 10,
        L2_cache_size=50 << 20,
    )
    answers: dict[str, Any] = {
        "is_available": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_properties": properties,
        "_get_device_properties": properties,  # by those who have the function above already
        "get_device_capability": (major, minor),
        "get_device_name": "double",
        "is_bf16_supported": True,
        "synchronize": None,
        "set_device": None,
        "get_rng_state": torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": None,
        "_lazy_init": None,
        "_exchange_device": 0,
        "_maybe_exchange_device": 0,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, lambda *_args, answer=answer, **_kwargs: answer)
    for name in ("exchange_device", "maybe_exchange_device", "get_raw_stream"):
        setattr(CudaInterface, name, staticmethod(lambda *_args: 0))
    for name in ("set_device", "synchronize"):
        setattr(CudaInterface, name, staticmethod(lambda *_args: None))
    torch._C._cuda_getCurrentRawStream = lambda _device: 0


def _be_compiled_for(major: int, minor: int) -> None:
    """What Inductor would run on the GPU is left out: patterns that are traced there, tuning, kernels."""
    import torch
    from torch._inductor.codegen.wrapper import PythonWrapperCodegen
    from torch._inductor.fx_passes import joint_graph, post_grad
    from torch._inductor.runtime import triton_helpers
    from torch._inductor.runtime.triton_heuristics import CachingAutotuner
    from torch._subclasses import FakeTensorMode
    from triton.backends.compiler import GPUTarget
    from triton.compiler.compiler import CompiledKernel
    from triton.runtime import driver

    utils = SimpleNamespace(
        get_device_properties=lambda _device: {"max_shared_mem": 227 << 10, "multiprocessor_count": 132, "warpSize": 32}
    )
    driver.set_active(
        SimpleNamespace(
            get_current_target=lambda: GPUTarget("cuda", major * 10 + minor, 32),
            get_active_torch_device=lambda: torch.device(_PLACE),
            get_current_device=lambda: 0,
            get_current_stream=lambda _device: 0,
            get_device_interface=lambda: torch.cuda,
            utils=utils,
        )
    )
    triton_helpers.set_driver_to_gpu = lambda: None
    joint_graph.lazy_init = post_grad.lazy_init = lambda *_args: None

    def load(self: Any) -> None:
        self.function, self.n_regs, self.n_spills, self.n_max_threads = 0, 0, 0, 1024

    CompiledKernel._init_handles = load
    CompiledKernel.run = property(lambda _self: lambda *_args, **_kwargs: None)

    def take_the_first(self: Any, *_args: Any, **_kwargs: Any) -> None:
        self.launchers = self.launchers[:1]

    CachingAutotuner.autotune_to_one_config = take_the_first
    tune = PythonWrapperCodegen.generate_and_run_autotune_block

    def tune_without_values(self: Any) -> Any:
        with FakeTensorMode(allow_non_fake_inputs=True):
            return tune(self)

    PythonWrapperCodegen.generate_and_run_autotune_block = tune_without_values


def _be_exported_for() -> None:
    """Modules and their inputs stay where they are; the graph is moved, and keeps the values of its constants."""
    import torch
    from torch._inductor.graph import GraphLowering
    from torch._subclasses import FakeTensor

    values: dict[str, Any] = {}
    export, to, original = torch.export.export, torch.Tensor.to, GraphLowering.get_original_value_of_constant

    def stay(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked = kwargs.get("device", args[0] if args else None)
        is_for_it = isinstance(asked, (str, torch.device)) and torch.device(asked).type == "cuda"
        return self if is_for_it and not isinstance(self, FakeTensor) else to(self, *args, **kwargs)

    def export_for_it(*args: Any, **kwargs: Any) -> Any:
        program = export(*args, **kwargs)
        held = {**program.state_dict, **program.constants}
        values.update({name.replace(".", "_"): value for name, value in held.items() if hasattr(value, "detach")})
        return moved(program)

    def value_of(self: Any, name: str) -> Any:
        return values[name].detach() if name in values else original(self, name)

    torch.Tensor.to = stay
    torch.export.export = export_for_it
    GraphLowering.get_original_value_of_constant = value_of


def moved(program: Any) -> Any:
    """The program with all of its tensors on the GPU, where they have no values."""
    import torch
    from torch._subclasses import FakeTensor
    from torch.utils import _pytree as pytree

    graphs = [module.graph for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    nodes = [node for graph in graphs for node in graph.nodes]
    mode = next(node.meta["val"].fake_mode for node in nodes if isinstance(node.meta.get("val"), FakeTensor))

    def move(tensor: Any) -> Any:
        with mode, torch.no_grad():
            tensor = tensor.detach()
            return (tensor if isinstance(tensor, FakeTensor) else mode.from_tensor(tensor)).to(_PLACE)

    for name, value in list(program.state_dict.items()):
        is_parameter = isinstance(value, torch.nn.Parameter)
        program._state_dict[name] = torch.nn.Parameter(move(value), False) if is_parameter else move(value)
    for name, value in list(program.constants.items()):
        program._constants[name] = move(value) if isinstance(value, torch.Tensor) else value
    program._example_inputs = pytree.tree_map_only(torch.Tensor, move, program.example_inputs)
    for node in nodes:
        if "device" in node.kwargs:
            node.kwargs = {**node.kwargs, "device": torch.device(_PLACE)}
        node.meta["val"] = pytree.tree_map_only(torch.Tensor, move, node.meta.get("val"))
    return program
