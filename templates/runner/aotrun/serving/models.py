"""A model as a server has it: its signature, which of its requests may run together, and its runs."""

from __future__ import annotations

import time

from aotrun.arrays.array import Array
from aotrun.arrays.closeness import compare, tolerances
from aotrun.library import bundle
from aotrun.library.model import Model
from aotrun.library.sample import read_sample, sample_inputs
from aotrun.serving import batching
from aotrun.serving.protocol import is_the_only_id, parse, parts, split_id, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

    from aotrun.library.model import Runnable, Session
    from aotrun.library.tensor import Tensor
    from aotrun.serving.protocol import Plan, Rows
    from aotrun.serving.settings import Settings

    Outputs = List[Optional[Rows]]

#: Plans kept of one model, and the longest text of one: most clients send the same JSON in front of other numbers, with
#: other ids in it.
_PLANS = 256
_LONGEST = 2048


class Served:
    """A loaded model.

    Attributes:
        name: as in the bundle.
        index: among the models of the server.
        most: rows that one run may have; 1 when requests are not joined.
        has_state: whether calls change it, so that those of several clients must not meet.
        seconds: how long a run takes, a moving mean.
    """

    def __init__(self, name: str, index: int, model: Model, most: int) -> None:
        self.name = name
        self.index = index
        self.model = model
        self.most = most
        self.seconds = 0.0
        self._plans: Dict[Tuple[bytes, int], Plan] = {}
        self._names = [spec.name for spec in model.outputs]
        self.has_state = bool(model.description.get("state"))
        #: For requests that are of no sequence, each of which begins anew.
        self._fresh = model.session() if self.has_state else None

    @property
    def output_names(self) -> List[str]:
        """In the model's order."""
        return self._names

    def plan(self, text: bytes, tail: int) -> Plan:
        """What a request's JSON says, given how many bytes follow it. Raises Refused."""
        if len(text) > _LONGEST:
            return parse(text, tail, self.model.inputs, self.model.outputs)
        rest, id_ = split_id(text)
        known = self._plans.get((rest, tail))
        if known is not None:
            return known if id_ is None else known.with_id(id_)
        plan = parse(text, tail, self.model.inputs, self.model.outputs)
        if plan.is_reusable and (id_ is None or (plan.id == id_ and is_the_only_id(text))):
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[rest, tail] = plan
        return plan

    def run_all(
        self, requests: Sequence[Sequence[Array]], session: Optional[Session] = None
    ) -> List[Union[Outputs, Exception]]:
        """Run requests as one, if there are several; their outputs, or why a request has none.

        A model with a state runs in the session of the request's sequence, or as if nobody had called it before.

        When a run of several fails, each runs for itself, and only those that are to blame get an error.
        """
        begin = time.perf_counter()
        try:
            if len(requests) == 1:
                if session is None and self._fresh is not None:
                    session = self._fresh
                    session.reset()
                return [self._one(requests[0], session or self.model)]
            rows = [batching.rows_of(arrays) for arrays in requests]
            try:
                outputs = _call(self.model, batching.join(requests))
                if batching.is_whole([tensor.shape if tensor else None for tensor in outputs], sum(rows)):
                    spans = batching.spans(rows)
                    return list(map(list, zip(*[parts(tensor, spans) for tensor in outputs if tensor])))
            except Exception:  # noqa: BLE001, S110  each says for itself what was wrong
                pass
            return [self._one(arrays, self.model) for arrays in requests]
        finally:
            taken = time.perf_counter() - begin
            self.seconds += (taken - self.seconds) * 0.2 if self.seconds else taken

    @staticmethod
    def _one(arrays: Sequence[Array], runs: Runnable) -> Union[Outputs, Exception]:
        try:
            return [whole(tensor) if tensor else None for tensor in _call(runs, arrays)]
        except Exception as error:  # noqa: BLE001  no memory for it, say: it is this request's answer
            return error


def _call(runs: Runnable, arrays: Sequence[Array]) -> Sequence[Optional[Tensor]]:
    outputs = runs(*arrays)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def load(name: str, index: int, settings: Settings) -> Tuple[Served, str]:
    """Load a model of this bundle; and why its requests are not joined, where that was asked for. Raises AotError."""
    path = bundle.model_folder(bundle.HERE, name)
    model = _load(path, settings)
    if settings.max_batch == 1 or model.description.get("state"):
        return Served(name, index, model, 1), ""
    most, reason = batching.largest_batch(model.inputs, model.outputs, model.description.get("guards") or ())
    if not reason:
        reason = _dependence(path, settings)
    if reason:
        return Served(name, index, model, 1), reason
    return Served(name, index, model, min(most, settings.max_batch) if most else settings.max_batch), ""


def _load(path: str, settings: Settings) -> Model:
    return Model(bundle.HERE, path, device=settings.device, runners=1, threads=settings.threads)


def _dependence(path: str, settings: Settings) -> str:
    """Why rows of this model may not run together; empty when its recorded sample shows that they may.

    The sample and its rows in reverse run apart and together, in a model of their own: one that changes its buffers
    would not be the same afterwards.
    """
    with _load(path, settings) as model:
        sample = read_sample(path)
        first = sample_inputs(sample, model.inputs) if sample else None
        if first is None or not batching.rows_of(first):
            return "the package has no recorded sample to show that its rows do not depend on each other"
        apart = [first, [_reversed(array) for array in first]]
        joined = batching.join(apart)
        rows = joined[0].shape[0]
        most = model.inputs[0].dims[0].max if model.inputs[0].dims else None
        if most is not None and rows > most:
            return f"its recorded sample has {rows // 2} rows, too many to run it with another"
        one, other, together = [_called(model, arrays) for arrays in (*apart, joined)]
        allowed = tolerances(model.description.get("precision", ()))
    for spec in model.outputs:
        wanted = [*one[spec.name], *other[spec.name]]
        got = together[spec.name]
        dtype = spec.dtype.name if spec.dtype else ""
        if len(got) != len(wanted) or compare(got, wanted, allowed.get(dtype, 0.0))[1] is not None:
            return f"rows of {spec.name} are other numbers when other rows are beside them"
    return ""


def _called(model: Model, arrays: Sequence[Array]) -> Dict[str, List[Any]]:
    # A model that writes into its inputs gets copies.
    copies = [Array(array.dtype, array.shape, bytearray(array.data)) for array in arrays]
    return {name: tensor.flat() for name, tensor in model.run(*copies).outputs.items()}


def _reversed(array: Array) -> Array:
    """The same rows, the last one first; a single row becomes zeros."""
    row = len(array.data) // array.shape[0]
    if array.shape[0] == 1:
        return Array(array.dtype, array.shape, bytearray(row))
    pieces = [array.data[place * row : (place + 1) * row] for place in range(array.shape[0])]
    return Array(array.dtype, array.shape, bytearray().join(reversed(pieces)))
