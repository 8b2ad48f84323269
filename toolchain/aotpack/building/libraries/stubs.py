"""What stands in for libraries that a bundle leaves out."""

from __future__ import annotations

from collections.abc import Iterator

from aotpack.bundle.inputs import Stub
from aotpack.libraries.closure import Closure
from aotpack.native.stubs import build_stub, plan_stubs
from aotpack.tools.compilers import find_compiler


def stubs_of(closure: Closure) -> Iterator[Stub]:
    """Compile a stub for every library that is left out."""
    left_out = {library.name: (library.group, library.path) for library in closure.left_out}
    planned = plan_stubs(left_out, [library.path for library in closure.libraries]) if left_out else ()
    for library, stub in zip(closure.left_out, planned, strict=True):
        yield Stub(library, build_stub(stub, find_compiler("c")))
