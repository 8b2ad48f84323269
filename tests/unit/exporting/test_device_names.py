"""The header of torch's whose regular expression is replaced."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from aotpack.exporting.worker.mends.device_names import without_regex

#: As torch has it, but for devices that only other builds know.
FUNCTION = """
inline void parse_device_str(
    const std::string& device_str,
    int32_t& device_type,
    int32_t& device_idx) {
  std::regex re("(cpu|cuda|xpu|mps)(:([0-9]+))?");
  std::smatch sm;
  bool matched = std::regex_match(device_str, sm, re);
  AOTI_RUNTIME_CHECK(matched, "Invalid device: " + device_str);

  if (sm[1].str() == "cpu") {
    device_type = aoti_torch_device_type_cpu();
  } else if (sm[1].str() == "cuda") {
    device_type = aoti_torch_device_type_cuda();
  } else {
    AOTI_RUNTIME_CHECK(false, "Invalid device: " + device_str);
  }

  if (sm[3].matched) {
    device_idx = stoi(sm[3].str());
  } else {
    device_idx = -1;
  }
}
"""
PROGRAM = """
#include <cstdint>
#include <iostream>
#include <stdexcept>
#include <string>
#define AOTI_RUNTIME_CHECK(that, text) if (!(that)) throw std::runtime_error(text)
int aoti_torch_device_type_cpu() { return 0; }
int aoti_torch_device_type_cuda() { return 1; }
%s
int main()
{
    for (std::string name; std::getline(std::cin, name);) {
        int32_t type = -7, index = -7;
        try {
            parse_device_str(name, type, index);
            std::cout << type << " " << index << "\\n";
        } catch (const std::exception& error) {
            std::cout << error.what() << "\\n";
        }
    }
}
"""
#: What torch's function says, too; to compile that takes ten times as long.
SAID = {
    "cpu": "0 -1",
    "cuda": "1 -1",
    "cuda:0": "1 0",
    "cuda:12": "1 12",
    "cpu:007": "0 7",
    "cuda:99999999999": "stoi",
    **{
        name: f"Invalid device: {name}"
        for name in (
            "",
            ":",
            "cpu:",
            "cpu:x",
            "cpu:1x",
            "cpu:-1",
            "cpu: 1",
            "cpu:1:2",
            "Cpu",
            "cpu ",
            "cp",
            "xpu:0",
            ":3",
        )
    },
}


def test_names_of_devices_are_told_apart_as_before(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    by_hand = without_regex(FUNCTION)
    assert by_hand is not None
    assert "regex" not in by_hand
    (tmp_path / "program.cpp").write_text(PROGRAM % by_hand)
    command = ["g++", "-std=c++20", "-Wall", "-Werror", "-o", tmp_path / "program", tmp_path / "program.cpp"]
    subprocess.run(command, check=True)
    names = "".join(f"{name}\n" for name in SAID)
    lines = subprocess.run([tmp_path / "program"], input=names, text=True, capture_output=True, check=True).stdout
    assert lines.splitlines() == list(SAID.values())


def test_a_header_that_says_something_else_is_left_alone() -> None:
    assert without_regex(FUNCTION.replace("regex_match", "regex_search")) is None
    assert without_regex(FUNCTION * 2) is None
    assert without_regex("") is None
