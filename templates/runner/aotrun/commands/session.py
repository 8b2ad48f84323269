"""What the commands share: the model that a command line means, and its inputs from files."""

from __future__ import annotations

import os

from aotrun.arrays.array import Array, count
from aotrun.errors import UsageError
from aotrun.formats.files import read
from aotrun.library import bundle
from aotrun.library.model import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

    from aotrun.arrays.signature import Spec
    from aotrun.formats.files import Content


def model_path(name: Optional[str]) -> str:
    """The model of `--model NAME|M.pt2` within this bundle. Raises UsageError."""
    if name is not None and (name.endswith(".pt2") or os.sep in name):
        if not os.path.exists(name):
            raise UsageError(f"--model {name}: no such file", "There is nothing to load.", "Check the path.")
        return os.path.abspath(name)
    return bundle.model_folder(bundle.HERE, name)


def open_model(values: Mapping[str, Any], prepared: Optional[str] = None) -> Model:
    """Load the model that a command line means; `prepared` as for `aotrun.load`."""
    # A pool that spins while it waits takes the time of whoever else computes: a call of 23 us took 11 ms on a machine
    # with two busy cores. OpenMP reads this when it is loaded, so it comes first; the user's own word stands.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    path = model_path(values["model"])
    threads = values.get("threads") or 0
    return Model(bundle.HERE, path, device=values.get("device"), runners=1, threads=threads, prepared=prepared)


def read_inputs(words: Sequence[str], specs: Sequence[Spec], *, cast: bool = False) -> List[Array]:
    """Arrays of `[NAME=]FILE` words in the order of the model's inputs. Raises UsageError.

    Args:
        words: of the command line.
        specs: the model's inputs.
        cast: convert numbers of another type than the model takes; otherwise they are refused.
    """
    contents = _in_order(words, specs)
    arrays = [content for content in contents if isinstance(content, Array)]
    if len(arrays) == len(specs) and all(spec.dtype in (None, each.dtype) for each, spec in zip(arrays, specs)):
        return arrays
    from aotrun.commands.casting import fitted

    return [fitted(content, spec, cast=cast) for content, spec in zip(contents, specs)]


def inputs_of(
    content: Union[Content, Mapping[str, Content]], specs: Sequence[Spec], origin: str, *, cast: bool
) -> List[Array]:
    """Arrays in the order of the model's inputs, of one document: the only input's, or those of all by name or order.
    Raises UsageError."""
    from aotrun.commands.casting import fitted

    names = [spec.name for spec in specs]
    if not isinstance(content, dict):
        if len(names) != 1:
            raise _misfit(f"{origin}: one array", names)
        return [fitted(content, specs[0], cast=cast)]  # type: ignore[arg-type]
    places = {known: key for key, known in _matched(list(content), names, origin).items()}
    missing = [name for name in names if name not in places]
    if missing:
        raise _misfit(f"{origin}: missing {', '.join(missing)}", names)
    return [fitted(content[places[spec.name]], spec, cast=cast) for spec in specs]


def _in_order(words: Sequence[str], specs: Sequence[Spec]) -> List[Content]:
    names = [spec.name for spec in specs]
    named: Dict[str, Content] = {}
    unnamed: List[Content] = []
    for word in words:
        content = _content(word, specs)
        if isinstance(content, dict):
            _merge(named, content)
        else:
            unnamed.append(content)
    if unnamed and named:
        raise UsageError(
            f"{len(unnamed)} inputs without a name beside {', '.join(named)}",
            f"The model takes {', '.join(names)}.",
            "Name all of them: --input NAME=FILE, or none.",
        )
    if unnamed:
        if len(unnamed) != len(names):
            raise _misfit(f"{len(unnamed)} inputs", names)
        return unnamed
    if set(named) != set(names):
        unknown = [name for name in named if name not in names]
        missing = [name for name in names if name not in named]
        problems = [f"no input {', '.join(unknown)}"] if unknown else []
        problems += [f"missing {', '.join(missing)}"] if missing else []
        raise _misfit("; ".join(problems), names)
    return [named[name] for name in names]


def _content(word: str, specs: Sequence[Spec]) -> Union[Content, Dict[str, Content]]:
    """What a word names: an array for no input in particular, or arrays by the names of inputs."""
    name, path = _split(word)
    most = {spec.name: _most(spec) for spec in specs}

    def inputs_of(keys: List[str]) -> Dict[str, str]:
        return _matched(keys, list(most), path) if name is None else _lone(keys, name, path)

    content = read(path, lambda keys: {key: most.get(known) for key, known in inputs_of(keys).items()})
    if isinstance(content, dict):
        return {known: content[key] for key, known in inputs_of(list(content)).items()}
    return content if name is None else {name: content}


def _most(spec: Spec) -> Optional[int]:
    """How many elements an input can have; None when nobody says."""
    if spec.dims is None or any(dim.max is None for dim in spec.dims):
        return None
    return count([dim.max for dim in spec.dims if dim.max is not None])


def _lone(keys: List[str], name: str, path: str) -> Dict[str, str]:
    if len(keys) != 1:
        raise UsageError(
            f"--input {name}={path}: {len(keys)} arrays for one input",
            f"The file holds {', '.join(keys)}.",
            f"Give the file without a name: --input {path}.",
        )
    return {keys[0]: name}


def _split(word: str) -> Tuple[Optional[str], str]:
    """Name and path; a path with `=` in it needs no name when it is there."""
    name, equals, path = word.partition("=")
    if not equals or os.path.exists(word):
        return None, word
    return name, path


def _matched(keys: List[str], names: Sequence[str], origin: str) -> Dict[str, str]:
    """The inputs of one file's arrays: by their keys, or by order when no key is an input's name."""
    known = [key for key in keys if key in names]
    unknown = [key for key in keys if key not in names]
    if known and unknown:
        raise UsageError(
            f"{origin}: {', '.join(known)} are inputs, {', '.join(unknown)} are not",
            f"The model takes {', '.join(names)}. Arrays are matched by name, or by order when no name matches.",
            "Name all arrays as the model does, or none.",
        )
    if known:
        return {key: key for key in keys}
    if len(keys) != len(names):
        raise _misfit(f"{origin}: {len(keys)} arrays ({', '.join(keys)})", names)
    return dict(zip(keys, names))


def _merge(named: Dict[str, Content], more: Mapping[str, Content]) -> None:
    twice = [name for name in more if name in named]
    if twice:
        raise UsageError(f"input {twice[0]} given twice", "Each input has one value.", "Leave one --input out.")
    named.update(more)


def _misfit(what: str, names: Sequence[str]) -> UsageError:
    words = " ".join(f"--input {name}=FILE" for name in names)
    return UsageError(what, f"The model takes {', '.join(names) or 'no inputs'}.", f"Give: {words or 'no --input'}")
