"""Each file of the bridge and the slim runtime includes the standard headers of what it names, not by way of others."""

from __future__ import annotations

import re
from pathlib import Path

BRIDGE = Path(__file__).resolve().parents[3] / "bridge"

#: What is named of each header.
HEADERS = {
    "algorithm": "all_of any_of clamp copy copy_n count count_if equal fill fill_n find find_if find_if_not max min"
    " minmax_element none_of nth_element partial_sort partition reverse sort stable_sort transform unique"
    " upper_bound",
    "array": "array",
    "atomic": "atomic memory_order_acq_rel memory_order_acquire memory_order_relaxed memory_order_release",
    "cfenv": "fegetenv fenv_t fesetenv",
    "charconv": "from_chars",
    "chrono": "chrono",
    "cmath": "atan2 ceil cos erf exp fabs floor fma fmod hypot isfinite isinf isnan log log1p lrint nanf nearbyint pow"
    " round sin sqrt",
    "complex": "complex",
    "condition_variable": "condition_variable",
    "csetjmp": "jmp_buf longjmp",
    "cstddef": "max_align_t nullptr_t ptrdiff_t size_t",
    "cstdint": "int32_t int64_t uint32_t uint64_t uint8_t",
    "cstdio": "FILE fclose fopen fprintf fputc fputs remove snprintf",
    "cstdlib": "abort abs aligned_alloc exit free getenv strtod strtol strtoll strtoull",
    "cstring": "memcmp memcpy memmove memset strcmp strerror strlen strstr",
    "exception": "current_exception exception exception_ptr rethrow_exception",
    "filesystem": "filesystem",
    "fstream": "ifstream ofstream",
    "functional": "function greater multiplies",
    "initializer_list": "initializer_list",
    "ios": "ios",
    "iostream": "cerr cout",
    "iterator": "begin end istreambuf_iterator prev size",
    "limits": "numeric_limits",
    "map": "map",
    "memory": "make_shared make_unique shared_ptr unique_ptr",
    "mutex": "lock_guard mutex scoped_lock unique_lock",
    "new": "align_val_t bad_alloc nothrow nothrow_t",
    "numeric": "accumulate iota",
    "optional": "nullopt optional",
    "random": "mt19937 mt19937_64",
    "ranges": "ranges",
    "sstream": "ostringstream",
    "stdexcept": "runtime_error",
    "string": "stoi stoll stoul string to_string",
    "string_view": "string_view",
    "system_error": "errc error_code",
    "thread": "thread",
    "type_traits": "conditional_t enable_if_t false_type is_arithmetic_v is_const_v is_constructible_v is_convertible_v"
    " is_enum_v is_floating_point_v is_integral_v is_lvalue_reference_v is_same_v is_signed_v"
    " is_trivially_destructible_v make_unsigned_t remove_cv_t remove_pointer_t remove_reference_t true_type",
    "utility": "declval exchange forward move pair swap",
    "variant": "get_if in_place_index variant",
    "vector": "vector",
}
#: Numbers are everywhere, and a .cpp file has them from any header that it implements or is written for.
OF_HEADERS = {
    "cstddef": r"\bsize_t\b",
    "cstdint": r"\bu?int(?:8|16|32|64|ptr|max)_t\b|\bU?INT(?:8|16|32|64|PTR)_(?:MAX|MIN)\b",
}
OTHERS = {"cerrno": r"\berrno\b", "climits": r"\bU?(?:INT|LONG|LLONG|CHAR)_(?:MAX|MIN)\b"}
#: C's own names of what C++ has as well; containers declare what iterates over them.
AS_WELL = {
    "cmath": ("math.h",),
    "cstddef": ("stddef.h",),
    "cstdint": ("stdint.h",),
    "ios": ("fstream",),
    "iterator": ("array", "string", "string_view", "vector"),
}
WHERE = {name: header for header, names in HEADERS.items() for name in names.split()}
COMMENT_OR_TEXT = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'""", re.DOTALL
)


def files() -> list[Path]:
    return sorted(path for suffix in ("h", "hpp", "cpp") for path in BRIDGE.rglob(f"*.{suffix}"))


def included(text: str) -> set[str]:
    return set(re.findall(r"^#include <([^>]+)>", text, re.MULTILINE))


def needed(text: str, *, is_header: bool) -> set[str]:
    """Headers of what the text names, but for its includes, comments and strings."""
    text = COMMENT_OR_TEXT.sub(" ", re.sub(r"^#include.*", "", text, flags=re.MULTILINE))
    names = set(re.findall(r"\bstd::(\w+)", text))
    assert names <= WHERE.keys(), f"which header has {names - WHERE.keys()}?"
    patterns = {**OTHERS, **OF_HEADERS} if is_header else OTHERS
    return {WHERE[name] for name in names} | {header for header, name in patterns.items() if re.search(name, text)}


def missing(path: Path) -> set[str]:
    """Headers that the file needs, and that neither it nor a .cpp file's own header includes."""
    text = path.read_text(encoding="utf-8")
    is_header = path.suffix != ".cpp"
    there = included(text)
    if not is_header and (own := path.with_suffix(".h")).exists():
        there |= included(own.read_text(encoding="utf-8"))
    return {header for header in needed(text, is_header=is_header) if not there & {header, *AS_WELL.get(header, ())}}


def test_files_include_the_standard_headers_of_what_they_name() -> None:
    assert {str(path.relative_to(BRIDGE)): sorted(names) for path in files() if (names := missing(path))} == {}


def test_what_is_missing_is_found(tmp_path: Path) -> None:
    header, source = tmp_path / "a.h", tmp_path / "a.cpp"
    header.write_text("#include <string>\nstd::string of(size_t count);\n", encoding="utf-8")
    source.write_text(
        '#include "a.h"\n// std::vector\nstd::string of(size_t n) { return n > 1\'000 ? "std::map" : std::to_string('
        "std::min<size_t>(n, 5)); }\n",
        encoding="utf-8",
    )
    assert missing(header) == {"cstddef"}
    assert missing(source) == {"algorithm"}
