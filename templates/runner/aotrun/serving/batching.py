"""Which requests may run as one, and how their rows are put together and taken apart. Pure."""

from __future__ import annotations

from aotrun.arrays.array import Array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Sequence, Tuple

    from aotrun.arrays.signature import Spec


def largest_batch(inputs: Sequence[Spec], outputs: Sequence[Spec], guards: Sequence[Any]) -> Tuple[int, str]:
    """How many rows one run may have by the model's signature, 0 for no limit; 1 with the reason when its requests
    cannot be joined.

    They can where one symbol is the first size of every input and output, and is nowhere else. That a row's result
    does not depend on the other rows is for the model to show (`models.proves_rows`).
    """
    specs = [*inputs, *outputs]
    if not inputs or any(not spec.dims for spec in specs):
        return 1, "an input or output has no first size, or none that is known"
    firsts = [spec.dims[0] for spec in specs if spec.dims]
    symbol = firsts[0].symbol
    if symbol is None or any(dim.symbol != symbol for dim in firsts):
        return 1, "the first sizes of its inputs and outputs are not one dynamic size"
    others = [dim.symbol or "" for spec in specs for dim in (spec.dims or ())[1:]]
    if any(symbol in other for other in others):
        return 1, f"{symbol} is also another size than the first"
    if any(symbol in str(guard) for guard in guards):
        return 1, f"there are conditions on {symbol}"
    bounds = [dim.max for dim in firsts if dim.max is not None]
    return (min(bounds) if bounds else 0), ""


def key_of(arrays: Sequence[Array]) -> Tuple[Tuple[int, ...], ...]:
    """Requests with the same key differ in their rows alone."""
    return tuple([array.shape[1:] for array in arrays])


def take(waiting: Sequence[Tuple[Any, int]], most: int) -> List[int]:
    """Which requests run together: the first, and those after it that fit.

    Args:
        waiting: key and rows of each request, the oldest first. A key of None joins nothing.
        most: rows of one run; a first request with more runs alone.

    Returns:
        Their places, ascending.
    """
    key, rows = waiting[0]
    places = [0]
    if key is None or rows == 0:
        return places
    for place in range(1, len(waiting)):
        if rows >= most:
            break
        other, more = waiting[place]
        if other == key and more and rows + more <= most:
            places.append(place)
            rows += more
    return places


def join(requests: Sequence[Sequence[Array]]) -> List[Array]:
    """The inputs of one run: the requests' rows, one request after the other."""
    joined = []
    for parts in zip(*requests):
        rows = sum(part.shape[0] for part in parts)
        data = bytearray().join([part.data for part in parts])
        joined.append(Array(parts[0].dtype, (rows, *parts[0].shape[1:]), data))
    return joined


def spans(rows: Sequence[int]) -> List[Tuple[int, int]]:
    """Which rows of a run's outputs belong to each request, given how many each has."""
    places = []
    begin = 0
    for size in rows:
        places.append((begin, begin + size))
        begin += size
    return places


def rows_of(arrays: Sequence[Array]) -> int:
    """Rows of a request that can be joined."""
    return arrays[0].shape[0]


def is_whole(shapes: Sequence[Optional[Tuple[int, ...]]], rows: int) -> bool:
    """Whether every output of a run has the rows that its requests have together."""
    return all(shape is not None and len(shape) > 0 and shape[0] == rows for shape in shapes)
