"""Loading and running models."""

from __future__ import annotations

import os
from ctypes import byref, c_char, c_char_p, c_int32, c_size_t, c_void_p, string_at

from aotrun.arrays.dtypes import BY_CODE
from aotrun.arrays.signature import Dim, Spec
from aotrun.errors import UsageError
from aotrun.formats import bundle_files
from aotrun.library import bundle, ffi
from aotrun.library.foreign import Views
from aotrun.library.tensor import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType
    from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

    Self = TypeVar("Self", bound="Runnable")


class Result:
    """A run with its measurements.

    Attributes:
        outputs: by name, in the model's order, without those for which a package of plain PyTorch returns None.
        latency_ms: wall time of the model's run, device synchronised before and after.
        device_used_bytes, device_total_bytes: GPU memory; 0 on the CPU.
        peak_rss_bytes: of this process so far.
    """

    __slots__ = ("device_total_bytes", "device_used_bytes", "latency_ms", "outputs", "peak_rss_bytes")

    def __init__(self, outputs: Dict[str, Tensor], stats: ffi.RunStats) -> None:
        self.outputs = outputs
        self.latency_ms: float = round(stats.latency_ms, 6)  # nanoseconds, without what binary fractions add
        self.device_used_bytes: int = stats.device_used_bytes
        self.device_total_bytes: int = stats.device_total_bytes
        self.peak_rss_bytes: int = stats.peak_rss_bytes


def load(
    path: Union[str, PathLike[str]],
    *,
    model: Optional[str] = None,
    device: Optional[str] = None,
    runners: int = 1,
    threads: int = 0,
    variant: Optional[str] = None,
    prepared: Optional[Union[str, PathLike[str]]] = None,
) -> Model:
    """Load a model.

    Args:
        path: a bundle, a model folder within one, or a .pt2 package.
        model: which model of a bundle; not needed when it has one.
        device: `cpu`, `cuda`, `cuda:1`, `rocm`, ...; the model's own by default.
        runners: how many threads can run it at the same time; others wait.
        threads: size of the CPU thread pool, process-wide; 0 leaves the runtime's choice.
        variant: of a model that has several, such as `avx2`; AOT_VARIANT's, or the best that this machine can run, by
            default.
        prepared: a folder that `aotrun prepare` or `Model.prepare` has written weights into; AOT_PREPARED's by default,
            and none where it is empty.

    Raises:
        AotError: one of its subclasses, with what to do about it.
    """
    root, model_path = bundle.locate(os.fspath(path), model)
    return Model(root, model_path, device=device, runners=runners, threads=threads, variant=variant, prepared=prepared)


def variants(root: str, path: str) -> Dict[str, Any]:
    """The variants of a model, which of them this machine takes, and why not the others: see aot_model_variants.

    Args:
        root: the bundle whose bridge is asked.
        path: a model folder or a .pt2.

    Raises AotError.
    """
    import json

    library = ffi.bridge(bundle.lib_folder(root))
    text = c_char_p()
    ffi.check(library, library.aot_model_variants(os.fsencode(path), None, byref(text)))
    document: Dict[str, Any] = json.loads(text.value or b"{}")
    return document


class Runnable:
    """What takes inputs and gives outputs: a model, or a session of one.

    Attributes:
        inputs, outputs: the signature, in call order.
    """

    def __init__(
        self, library: Any, functions: Tuple[str, str], inputs: Tuple[Spec, ...], outputs: Tuple[Spec, ...]
    ) -> None:
        run, free = functions
        self._library = library
        self.inputs = inputs
        self.outputs = outputs
        self._index = {spec.name: index for index, spec in enumerate(inputs)}
        self._names = [spec.name for spec in inputs]
        self._num_inputs = len(inputs)
        self._num_outputs = len(outputs)
        # A function of its own without argtypes, which are looked up for each argument of each call: what is passed are
        # objects of ctypes.
        self._free_function = getattr(library, free)
        self._run_function = library[run]
        self._run_function.restype = c_int32
        self._free = library.aot_tensor_free
        self._counts = c_size_t(self._num_inputs), c_size_t(self._num_outputs)
        #: Input and output slots for as many callers as there have been at once.
        self._frames: List[Tuple[Views, Any]] = []
        self._handle = c_void_p()

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Run on positional or named inputs; returns the output, or a tuple when there are several.

        Outputs may share memory with each other where the Python code's do, never with inputs or weights.

        Inputs are borrowed for the call, without a copy on the CPU: NumPy arrays, torch tensors, anything with
        `__dlpack__` or the buffer protocol. A model that writes into one in place changes the caller's array, as its
        Python code does. Raises UsageError when they do not fit the signature.
        """
        outputs = self._run(self._in_order(args, named) if named else args, None)
        return outputs[0] if len(outputs) == 1 else outputs

    def run(self, *args: Any, **named: Any) -> Result:
        """Run as a call does; returns outputs by name, with measurements."""
        stats = ffi.RunStats()
        outputs = self._run(self._in_order(args, named) if named else args, stats)
        return Result({spec.name: tensor for spec, tensor in zip(self.outputs, outputs) if tensor}, stats)

    def _run(self, inputs: Sequence[Any], stats: Optional[ffi.RunStats]) -> Tuple[Optional[Tensor], ...]:
        if len(inputs) != self._num_inputs:
            raise self._misfit(f"{len(inputs)} inputs")
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = Views(self.inputs), (c_void_p * self._num_outputs)()
        try:
            views, pointers = frame
            num_inputs, num_outputs = self._counts
            keep: List[Any] = []
            first = views.borrow(inputs, keep)
            handle = self._handle or self._closed()
            measured = None if stats is None else byref(stats)
            status = self._run_function(handle, first, num_inputs, pointers, num_outputs, measured)
            if status:
                ffi.check(self._library, status)
            if self._num_outputs == 1:  # a comprehension would cost a tenth of the call
                return (pointers[0] and Tensor(self._library, self._free, pointers[0]),)
            return tuple([pointer and Tensor(self._library, self._free, pointer) for pointer in pointers[:]])
        finally:
            self._frames.append(frame)

    def _in_order(self, args: Sequence[Any], named: Mapping[str, Any]) -> List[Any]:
        """Inputs by position, then by name, in the model's order."""
        if len(args) > self._num_inputs:
            raise self._misfit(f"{len(args)} positional inputs")
        values: Dict[str, Any] = dict(zip(self._names, args))
        twice = sorted(set(values) & set(named))
        if twice:
            raise self._misfit(f"{', '.join(twice)} given twice, by position and by name")
        values.update(named)
        unknown = sorted(set(named) - set(self._index))
        missing = [name for name in self._names if name not in values]
        if unknown or missing:
            problems = [f"no input {', '.join(unknown)}"] if unknown else []
            problems += [f"missing {', '.join(missing)}"] if missing else []
            raise self._misfit("; ".join(problems))
        return [values[name] for name in self._names]

    def _misfit(self, what: str) -> UsageError:
        expected = ", ".join(map(str, self.inputs)) or "none"
        return UsageError(what, f"The model takes {self._num_inputs}: {expected}.", "Give exactly these.")

    def _closed(self) -> c_void_p:
        raise UsageError(f"{self!r} is closed", "What is closed cannot run.", "Load it again: aotrun.load(path).")

    def close(self) -> None:
        """Free it after running calls have ended; outputs stay valid."""
        handle, self._handle = self._handle, c_void_p()
        if handle:
            self._free_function(handle)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self.__dict__.get("_handle"):
            self.close()

    def __reduce_ex__(self, _protocol: Any) -> Any:
        # Two objects with one handle would both free it.
        raise TypeError(f"{self!r} is of this process: hand over the bundle's path, and load it where it is used")


#: More threads than any machine runs.
_MOST = 1 << 16


class Model(Runnable):
    """A loaded model. May be called from many threads at once; calls let go of the interpreter lock.

    Attributes:
        path: what it was loaded from.
        inputs, outputs: the signature, in call order.
    """

    def __init__(
        self,
        root: str,
        path: str,
        *,
        device: Optional[str],
        runners: int,
        threads: int,
        variant: Optional[str] = None,
        prepared: Optional[Union[str, PathLike[str]]] = None,
    ) -> None:
        library = ffi.bridge(bundle.lib_folder(root))
        self.path = path
        handle = c_void_p()
        if not (0 <= runners < _MOST and 0 <= threads < _MOST):
            what = f"runners={runners}, threads={threads}"
            raise UsageError(what, "Each is a number of threads; 0 leaves the choice.", "runners=1, threads=0")
        options = ffi.LoadOptions(
            num_runners=runners,
            device=device.encode() if device else None,
            num_threads=threads,
            variant=variant.encode() if variant else None,
            prepared=None if prepared is None else os.fsencode(prepared),
        )
        ffi.check(library, library.aot_model_load(os.fsencode(path), byref(options), byref(handle)))
        bundle_files.share_memory(path)
        inputs = _specs(library, handle, library.aot_model_num_inputs(handle), library.aot_model_input_info)
        outputs = _specs(library, handle, library.aot_model_num_outputs(handle), library.aot_model_output_info)
        super().__init__(library, ("aot_model_run", "aot_model_free"), inputs, outputs)
        self._handle = handle

    def asset(self, name: str) -> bytes:
        """The content of a file that travels with the models of the bundle, such as `labels.txt`. Raises UsageError."""
        data, size = c_void_p(), c_size_t()
        handle = self._handle or self._closed()
        encoded = os.fsencode(name)
        if b"\0" in encoded:
            raise UsageError(f"no asset {name!r}", "A name has no zero byte in it.", "Name a file of BUNDLE/assets.")
        ffi.check(self._library, self._library.aot_model_asset(handle, encoded, byref(data), byref(size)))
        return string_at(data, size.value) if size.value else b""

    @property
    def metadata(self) -> Dict[str, Any]:
        """What whoever built the bundle says of the model, such as a sample rate."""
        facts: Dict[str, Any] = self.description.get("metadata", {})
        return facts

    @property
    def description(self) -> Dict[str, Any]:
        """All that the model says of itself (docs/bundle-format.md, "model.json")."""
        import json

        document: Dict[str, Any] = json.loads(self._library.aot_model_metadata(self._handle or self._closed()))
        return document

    @property
    def variant(self) -> str:
        """The variant that runs, such as `avx2`; empty when the model has one form only."""
        name: bytes = self._library.aot_model_variant(self._handle or self._closed())
        return name.decode("utf-8")

    @property
    def prepared(self) -> str:
        """The file of prepared weights that it has mapped; empty when there is none."""
        path: bytes = self._library.aot_model_prepared(self._handle or self._closed())
        return os.fsdecode(path)

    def prepare(self, folder: Union[str, PathLike[str]]) -> Dict[str, Any]:
        """Write its weights as this kind of CPU reads them into a folder, for processes that name it to map.

        Returns `file`, or None where there is nothing to prepare, and `reason`, why; how many `weights` it holds, and
        their `bytes`. Raises AotError where the folder cannot be written to, or the package is too old.
        """
        import json

        text = c_char_p()
        handle = self._handle or self._closed()
        ffi.check(self._library, self._library.aot_model_prepare(handle, os.fsencode(folder), byref(text)))
        document: Dict[str, Any] = json.loads(text.value or b"{}")
        return {key: document.get(key) for key in ("file", "weights", "bytes", "reason")}

    def __repr__(self) -> str:
        name = os.path.basename(self.path)
        return f"<aotrun.Model {name}: ({', '.join(map(str, self.inputs))}) -> ({', '.join(map(str, self.outputs))})>"

    def session(self) -> Session:
        """A session: this model with a state of its own, which is at first what it was at export.

        Raises ModelMismatchError when the package does not say which buffers the model changes.
        """
        handle = c_void_p()
        ffi.check(self._library, self._library.aot_session_create(self._handle or self._closed(), byref(handle)))
        return Session(self, handle)


class Session(Runnable):
    """A model with a state of its own: the buffers that it changes from call to call. It shares code and weights.

    Called as its model is. Calls of one session follow one another, those of several run at the same time. A session
    may outlive its model.

    Attributes:
        model: whose session it is.
        inputs, outputs: the signature, in call order.
    """

    def __init__(self, model: Model, handle: c_void_p) -> None:
        super().__init__(model._library, ("aot_session_run", "aot_session_free"), model.inputs, model.outputs)
        self.model = model
        self._handle = handle

    def __repr__(self) -> str:
        return f"<aotrun.Session of {os.path.basename(self.model.path)}>"

    @property
    def nbytes(self) -> int:
        """Size of what `save` gives."""
        size: int = self._library.aot_session_saved_size(self._handle or self._closed())
        return size

    def reset(self) -> None:
        """Make the state what it was at export."""
        ffi.check(self._library, self._library.aot_session_reset(self._handle or self._closed()))

    def copy(self) -> Session:
        """Another session of the model with the same state."""
        handle = c_void_p()
        ffi.check(self._library, self._library.aot_session_copy(self._handle or self._closed(), byref(handle)))
        return Session(self.model, handle)

    def __copy__(self) -> Session:
        return self.copy()

    def __deepcopy__(self, _memo: Any) -> Session:
        return self.copy()

    def save(self) -> bytearray:
        """The state; sessions of the same package take it, in other processes and on other machines as well."""
        data = bytearray(self.nbytes)
        place = (c_char * len(data)).from_buffer(data)
        ffi.check(self._library, self._library.aot_session_save(self._handle or self._closed(), place, len(data)))
        return data

    def restore(self, state: Union[bytes, bytearray, memoryview]) -> None:
        """Make the state one that was saved. Raises UsageError when it is none of this model."""
        data = bytes(state)
        ffi.check(self._library, self._library.aot_session_restore(self._handle or self._closed(), data, len(data)))


def _specs(library: Any, handle: c_void_p, count: int, describe: Any) -> Tuple[Spec, ...]:
    specs = []
    for index in range(count):
        info = ffi.TensorInfo()
        ffi.check(library, describe(handle, index, byref(info)))
        dtype = BY_CODE.get((info.dtype.code, info.dtype.bits)) if info.dtype.bits else None
        dims = None if info.ndim < 0 else tuple(Dim(d.min, d.max, d.symbol) for d in info.dims[: info.ndim])
        mutated = {ffi.MUTATED: True, ffi.NOT_MUTATED: False}.get(info.mutation)
        specs.append(Spec(info.name.decode("utf-8"), dtype, dims, mutated))
    return tuple(specs)
