"""What a portable bundle is spared by what it leaves out: `--dry-run` shows it. Reads sizes from the disk."""

from __future__ import annotations

from collections.abc import Iterator

from aotpack.bundle.inputs import BuildInputs, Saving
from aotpack.gpu import fatbin, gfx, trimming
from aotpack.libraries.closure import Closure, Finder, Root, walk
from aotpack.libraries.features import with_needs


def savings(inputs: BuildInputs, on: frozenset[str], finder: Finder) -> Iterator[Saving]:
    """What each group that is off, and `--arch`, spare. Groups that share a library each count it."""
    if not inputs.portable:
        return
    roots = [Root(library.name, library.path, library.reason) for library in inputs.libraries.libraries]
    taken = _size(inputs.libraries)
    for group in inputs.recipe.groups:
        if group not in on:
            more = walk(roots, finder, inputs.recipe, features=on | with_needs(inputs.recipe, group))
            if _size(more) > taken:
                yield Saving(f"group {group} is off", _size(more) - taken)
    if inputs.archs:
        yield Saving(f"--arch {','.join(inputs.archs)}", _of_archs(inputs))


def _size(closure: Closure) -> int:
    return sum(library.path.stat().st_size for library in closure.libraries)


def _of_archs(inputs: BuildInputs) -> int:
    saved = 0
    for file in inputs.data:
        if not gfx.keeps(file.tree_path, [gfx.parse_target(arch) for arch in inputs.archs]):
            saved += file.source.stat().st_size
    for library in inputs.libraries.libraries:
        if inputs.recipe.may_trim(library.name):
            saved += trimming.plan_trim(library.path, [fatbin.parse_arch(arch) for arch in inputs.archs]).saved
    return saved
