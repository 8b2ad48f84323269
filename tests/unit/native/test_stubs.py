"""Stub libraries: what they export."""

from __future__ import annotations

from aotpack.elf.symbols import Symbol, Symbols
from aotpack.native.stubs import Stub, plan_stub, source_of, version_script_of


def symbols(imports: tuple[Symbol, ...] = (), exports: tuple[str, ...] = ()) -> Symbols:
    return Symbols(frozenset(imports), frozenset(Symbol(name) for name in exports))


REAL = symbols(exports=("fft_plan", "fft_run", "fft_unused", "_Znwm"))


def test_only_what_is_imported_is_exported() -> None:
    importer = symbols(imports=(Symbol("fft_run"), Symbol("fft_plan"), Symbol("printf")))
    stub = plan_stub("libfft.so.1", "fft", REAL, [importer], [importer])
    assert [symbol.name for symbol in stub.symbols] == ["fft_plan", "fft_run"]


def test_a_symbol_keeps_the_version_that_its_importer_asks_for() -> None:
    importer = symbols(imports=(Symbol("fft_run", "FFT_1", "libfft.so.1"),))
    assert plan_stub("libfft.so.1", "fft", REAL, [importer], []).symbols == (Symbol("fft_run", "FFT_1"),)


def test_a_statically_linked_runtime_is_not_exported() -> None:
    # The real library exports operator new as well; importers mean libstdc++'s.
    versioned = symbols(imports=(Symbol("_Znwm", "GLIBCXX_3.4", "libstdc++.so.6"),))
    plain = symbols(imports=(Symbol("_Znwm"),))
    libstdcxx = symbols(exports=("_Znwm",))
    assert plan_stub("libfft.so.1", "fft", REAL, [versioned], []).symbols == ()
    assert plan_stub("libfft.so.1", "fft", REAL, [plain], [libstdcxx]).symbols == ()


def test_the_source_is_the_same_every_time() -> None:
    stub = Stub("liba.so.1", "a", (Symbol("x"), Symbol("y", size=8)))
    assert source_of(stub) == source_of(stub)
    assert "char v1[8]" in source_of(stub)


def test_versions_become_nodes_of_the_version_script() -> None:
    stub = Stub("liba.so.1", "a", (Symbol("x", "A_1"), Symbol("y", "A_2"), Symbol("z", "A_1")))
    assert version_script_of(stub) == 'A_1 { global: "x"; "z"; };\nA_2 { global: "y"; };\n'


def test_without_versions_all_else_stays_inside() -> None:
    assert version_script_of(Stub("liba.so.1", "a", (Symbol("x"),))) == '{ global: "x"; local: *; };\n'
    assert version_script_of(Stub("liba.so.1", "a", ())) == "{ local: *; };\n"
