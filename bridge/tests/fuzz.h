// SPDX-License-Identifier: Apache-2.0
// What fuzz.cpp drives and fuzz_targets.cpp defines.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

using Bytes = std::vector<uint8_t>;

struct Target {
  std::string_view name;
  /// Reads the bytes as hostile. May throw aot::Error alone; must not touch what is not theirs, nor give a wrong
  /// answer.
  void (*run)(const Bytes& bytes);
  /// What its inputs are made of.
  std::vector<std::string> words;
};

const std::vector<Target>& targets();

/// Ends the process: the input at hand shows a fault.
[[noreturn]] void fault(const std::string& what);

}  // namespace fuzz
