"""Libraries that stand in for ones which are linked to and never called.

libtorch_cuda links to cuFFT, NCCL and others whatever the model does. Where a model does not need such a library, a
stub takes its place: it has the same name and exports the functions that the rest of the bundle imports from it. A call
ends the process with a message that says what to build differently; that beats a wrong result.

What a stub exports and its source are pure; `build_stub` runs the compiler.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aotpack.elf.symbols import Symbol, Symbols, read_symbols
from aotpack.tools.cache import cached_folder, content_key
from aotpack.tools.compilers import Compiler
from aotpack.tools.running import run_tool

_FLAGS = (
    *("-std=c99", "-Os", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"),
    *("-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-s"),
)


@dataclass(frozen=True)
class Stub:
    """A library to be generated."""

    soname: str
    #: The feature group to ask for when the real library is wanted.
    group: str
    symbols: tuple[Symbol, ...]


def plan_stub(soname: str, group: str, real: Symbols, importers: Iterable[Symbols], others: Iterable[Symbols]) -> Stub:
    """What a stub must export so that its importers load.

    Args:
        soname: the library to stand in for.
        group: names it on the command line.
        real: symbols of the real library.
        importers: libraries of the bundle that link to it.
        others: libraries of the bundle that may provide the same names. Some vendors' libraries export all of a
            statically linked libstdc++; a stub that did so as well would catch everybody's calls.
    """
    exported = {symbol.name: symbol for symbol in real.exports}
    elsewhere = {symbol.name for library in others for symbol in library.exports}
    wanted = {
        Symbol(symbol.name, symbol.version, None, exported[symbol.name].size)
        for importer in importers
        for symbol in importer.imports
        if symbol.name in exported
        and (symbol.provider == soname or (symbol.provider is None and symbol.name not in elsewhere))
    }
    return Stub(soname, group, tuple(sorted(wanted, key=lambda symbol: (symbol.name, symbol.version or ""))))


def source_of(stub: Stub) -> str:
    """C99 source of a stub. It needs nothing but `write` and `abort`, so it has the lowest of glibc floors."""
    message = (
        f": a function of {stub.soname} was called, which this bundle left out\n"
        f"  The model needs the feature group {stub.group} after all.\n"
        f"  fix: build the bundle again with --features {stub.group}\n"
    )
    lines = [
        "#include <stdlib.h>",
        "#include <string.h>",
        "#include <unistd.h>",
        '#define EXPORT __attribute__((visibility("default")))',
        "static void say(const char* text) { if (write(2, text, strlen(text)) < 0) abort(); }",
        "static inline void left_out(const char* function) {",
        '  say("error: "); say(function);',
        f"  say({json.dumps(message)});",
        "  abort();",
        "}",
    ]
    for number, symbol in enumerate(stub.symbols):
        name = json.dumps(symbol.name)
        if symbol.size:
            lines.append(f"EXPORT char v{number}[{symbol.size}] __asm__({name});")
        else:
            lines.append(f"EXPORT void f{number}(void) __asm__({name});")
            lines.append(f"void f{number}(void) {{ left_out({name}); }}")
    return "\n".join(lines) + "\n"


def version_script_of(stub: Stub) -> str:
    """The linker's version script: every symbol under the version that its importers ask for."""
    by_version: dict[str, list[str]] = {}
    for symbol in stub.symbols:
        by_version.setdefault(symbol.version or "", []).append(symbol.name)
    plain = by_version.pop("", [])
    nodes = [_node(version, names) for version, names in sorted(by_version.items())]
    if not nodes:
        return _node("", plain, local=True)
    # Symbols without a version cannot stand beside versions in one script; they keep their default visibility.
    return "".join(nodes)


def _node(version: str, names: Iterable[str], *, local: bool = False) -> str:
    listed = " ".join(f'"{name}";' for name in names)
    parts = (f" global: {listed}" if listed else "") + (" local: *;" if local else "")
    return f"{version} {{{parts} }};\n".lstrip()


def build_stub(stub: Stub, compiler: Compiler) -> Path:
    """Compile a stub, or find it in the cache; the file has the name that importers ask for.

    Raises:
        BuildToolError: the compiler fails.
    """
    source, script = source_of(stub), version_script_of(stub)
    key = content_key([stub.soname, source, script, *compiler.command, compiler.identity, *_FLAGS])

    def fill(folder: Path) -> None:
        (folder / "stub.c").write_text(source, encoding="utf-8")
        (folder / "stub.map").write_text(script, encoding="utf-8")
        named = [f"-Wl,-soname,{stub.soname}", "-Wl,--version-script=stub.map", "-o", stub.soname]
        run_tool([*compiler.command, *_FLAGS, "stub.c", *named], cwd=folder)

    return cached_folder("stubs", key, fill) / stub.soname


def plan_stubs(left_out: Mapping[str, tuple[str, Path]], libraries: Iterable[Path]) -> tuple[Stub, ...]:
    """Stubs for libraries that are left out.

    Args:
        left_out: soname -> (group, the real file).
        libraries: the bundle's other libraries.
    """
    symbols = [read_symbols(path) for path in libraries]
    return tuple(
        plan_stub(soname, group, read_symbols(path), symbols, symbols) for soname, (group, path) in left_out.items()
    )
