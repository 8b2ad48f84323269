"""Names of devices, `cpu` or `cuda:1`: the runtime in each model reads that of its own with `std::regex`.

That is 40 % of a compiler's work on the generated wrapper, and of the library of a small model (165 of 421 KB). Here
the same names are told apart by hand, in a copy of the header (pytorch 2.13; one that says something else stays).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Where it lies under the folder of headers.
NAME = "torch/csrc/inductor/aoti_runtime/model_base.h"
#: In the workspace as in the environment, so that what it says of itself in messages stays as it is.
FOLDER = "torch/include"
_REGEX = re.compile(
    r"""  std::regex re\("\([a-z|]+\)\(:\(\[0-9\]\+\)\)\?"\);
  std::smatch sm;
  bool matched = std::regex_match\(device_str, sm, re\);
"""
)
#: The parts have the names that the rest of the function asks for. Other letters than a device's it refuses itself.
_BY_HAND = """  struct Part {
    std::string text;
    bool matched;
    const std::string& str() const { return text; }
  };
  const size_t colon = device_str.find(':');
  const bool numbered = colon != std::string::npos;
  const Part sm[4] = {
      {}, {device_str.substr(0, colon), true}, {}, {numbered ? device_str.substr(colon + 1) : "", numbered}};
  const bool matched = !numbered ||
      (!sm[3].text.empty() && sm[3].text.find_first_not_of("0123456789") == std::string::npos);
"""


def without_regex(header: str) -> str | None:
    """The header's text with names of devices read by hand; None where it does not say what is expected. Pure."""
    by_hand, count = _REGEX.subn(lambda _: _BY_HAND, header)
    return by_hand if count == 1 else None


def changed() -> str | None:
    """This torch's header with the names read by hand; None where it does not say what is expected."""
    import torch

    original = Path(torch.__file__).parent / "include" / NAME
    return without_regex(original.read_text()) if original.exists() else None


def write(folder: Path) -> Path | None:
    """Write the header below `folder`: the directory that compilers are to look into first, or None."""
    header = changed()
    if header is None:
        return None
    mended = folder / FOLDER / NAME
    mended.parent.mkdir(parents=True, exist_ok=True)
    mended.write_text(header)
    return folder / FOLDER


@contextlib.contextmanager
def by_hand(folder: Path) -> Iterator[None]:
    """Let Inductor's compilers find the header, written into `folder`, before torch's own."""
    from torch._inductor import cpp_builder

    flags_of: Any = getattr(cpp_builder, "_get_optimization_cflags", None)
    place = None if flags_of is None else write(folder)
    if place is None:
        yield
        return

    def flags_with_place(*args: Any, **kwargs: Any) -> tuple[list[str], list[str]]:
        compile_flags, link_flags = flags_of(*args, **kwargs)
        return [*compile_flags, f"I{place}", f"ffile-prefix-map={place}/={FOLDER}/"], link_flags

    cpp_builder._get_optimization_cflags = flags_with_place
    try:
        yield
    finally:
        cpp_builder._get_optimization_cflags = flags_of
