"""Trimming device code, on sections put together here."""

from __future__ import annotations

import struct

import pytest

from aotpack.gpu import fatbin
from aotpack.gpu.fatbin import Arch, Kind, parse_arch
from tests.support.doubles.fatbins import Piece, region

EXACT, FAMILY, ZSTD = 0x100000, 0x200000, 0x8000


def gpus(*names: str) -> list[Arch]:
    return [parse_arch(name) for name in names]


def kept(section: bytes, *targets: str) -> list[list[tuple[str, int]]]:
    """(architecture, kind) of what stays, by region, read back from the trimmed section."""
    data = bytearray(section)
    fatbin.apply(memoryview(data), fatbin.trim(section, gpus(*targets)))
    result = []
    for after in fatbin.parse(bytes(data)):
        for element in after.elements:
            header = struct.unpack_from("<I", data, element.offset + 4)[0]
            written = struct.unpack_from("<II", data, element.offset + header)
            assert written == (element.arch.major * 10 + element.arch.minor, element.kind)
        result.append([(str(element.arch), element.kind) for element in after.elements])
    return result


CUBIN, PTX = Kind.CUBIN, Kind.PTX
WHEEL = region(
    Piece(75), Piece(80), Piece(86), Piece(90), Piece(90, flags=0x11 | EXACT), Piece(120), Piece(120, kind=PTX)
)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["sm_75"], [("sm_75", CUBIN)]),
        (["sm_80"], [("sm_80", CUBIN)]),
        (["sm_87"], [("sm_86", CUBIN)]),  # the best of the same major
        (["sm_89"], [("sm_86", CUBIN)]),
        (["sm_90"], [("sm_90", CUBIN), ("sm_90a", CUBIN)]),
        (["sm_121"], [("sm_120", CUBIN)]),
        (["sm_130"], [("sm_120", PTX)]),  # no cubin of its major: the driver compiles
        (["sm_75", "sm_90"], [("sm_75", CUBIN), ("sm_90", CUBIN), ("sm_90a", CUBIN)]),
    ],
)
def test_a_gpu_keeps_what_its_driver_would_pick(targets: list[str], expected: list[tuple[str, int]]) -> None:
    assert kept(WHEEL, *targets) == [expected]


def test_code_for_one_exact_gpu_runs_nowhere_else() -> None:
    section = region(Piece(90, flags=EXACT), Piece(80))
    assert kept(section, "sm_80") == [[("sm_80", CUBIN)]]
    assert kept(region(Piece(100, flags=EXACT), Piece(100)), "sm_103") == [[("sm_100", CUBIN)]]


def test_family_code_runs_on_later_minors() -> None:
    section = region(Piece(100, flags=FAMILY), Piece(103, flags=FAMILY), Piece(120, flags=FAMILY), Piece(100))
    assert kept(section, "sm_103") == [[("sm_103f", CUBIN), ("sm_100", CUBIN)]]
    assert kept(section, "sm_101") == [[("sm_100f", CUBIN), ("sm_100", CUBIN)]]


def test_a_region_without_code_for_the_gpu_stays_well_formed() -> None:
    section = region(Piece(90, flags=EXACT, payload=512), Piece(100, flags=EXACT, payload=128))
    assert kept(section, "sm_80") == [[("sm_100a", CUBIN)]]


def test_all_pieces_of_one_architecture_stay() -> None:
    # Relocatable device code: several object files' cubins in one region.
    assert kept(region(Piece(80), Piece(90), Piece(80), Piece(90)), "sm_90") == [[("sm_90", CUBIN)] * 2]


def test_an_element_of_a_kind_we_do_not_know_stays() -> None:
    assert kept(region(Piece(80), Piece(90, kind=8), Piece(90)), "sm_90") == [[("sm_90", 8), ("sm_90", CUBIN)]]


def test_longer_headers_and_compressed_payloads_move_whole() -> None:
    section = region(Piece(80, payload=24, flags=ZSTD), Piece(90, header=96, payload=40, flags=ZSTD))
    assert kept(section, "sm_90") == [[("sm_90", CUBIN)]]


def test_regions_stay_where_they_are() -> None:
    section = WHEEL + bytes(24) + region(Piece(80), Piece(90)) + region(Piece(90))
    before = [part.offset for part in fatbin.parse(section)]
    data = bytearray(section)
    edits = fatbin.trim(section, gpus("sm_90"))
    fatbin.apply(memoryview(data), edits)
    assert [part.offset for part in fatbin.parse(data)] == before
    assert len(data) == len(section)
    assert edits.saved == sum(size for _, size in edits.holes) > 0
    for offset, size in edits.holes:
        assert not any(data[offset : offset + size])


def test_trimming_twice_changes_nothing() -> None:
    data = bytearray(WHEEL + region(Piece(80), Piece(90)))
    fatbin.apply(memoryview(data), fatbin.trim(bytes(data), gpus("sm_90")))
    assert fatbin.trim(bytes(data), gpus("sm_90")) == fatbin.Trim((), (), ())


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x01\x02\x03\x04" * 8,  # not a region
        WHEEL[:-8],  # cut off
        struct.pack("<IHHQ", 0xBA55ED50, 2, 16, 0),  # a version of the format that does not exist
        struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 40) + bytes(40),  # half an element
        struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 64) + struct.pack("<HHIQ", 2, 0x101, 64, 1 << 40) + bytes(48),
        struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 64) + bytes(64),  # an element without a header would never end
    ],
)
def test_what_is_not_understood_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="fatbin"):
        fatbin.trim(damaged, gpus("sm_90"))


@pytest.mark.parametrize("text", ["90", "sm90", "sm_9", "sm_90x", "gfx90a", "sm_", ""])
def test_other_words_are_no_architectures(text: str) -> None:
    with pytest.raises(ValueError, match="sm_90"):
        parse_arch(text)


@pytest.mark.parametrize(
    ("text", "arch"), [("sm_90a", Arch(9, 0, "a")), ("sm_120", Arch(12, 0)), ("sm_75", Arch(7, 5))]
)
def test_architectures_are_read_and_written(text: str, arch: Arch) -> None:
    assert parse_arch(text) == arch
    assert str(arch) == text


def test_architectures_are_listed_oldest_first() -> None:
    expected = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_90a", "sm_120", "compute_120")
    assert fatbin.architectures(fatbin.parse(WHEEL)) == expected
