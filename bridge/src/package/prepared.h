// SPDX-License-Identifier: Apache-2.0
// Weights packed for a kind of CPU once, in a file that all processes map. Such a file lies in a folder that an
// operator names, and is found there by what it was made from: other models, other versions of one and other kinds of
// CPU have others beside it.
//
// A line of "aotpack weights 1" and the size of what follows it in 20 digits; a JSON document that says what each
// weight is and where it lies; from the next page on, the weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"

namespace aot {

/// What a file of prepared weights was made from, and for.
struct Preparation {
  std::string cpu;                   // libtorch's kind of it
  std::string features;              // what oneDNN asks of CPUs of one kind, such as "avx512_bf16, amx_tile"
  int threads = 1;                   // that a call has: oneDNN's choice of an order depends on it
  std::string torch;                 // the version of libtorch, whose oneDNN chose the orders
  std::vector<std::string> weights;  // a text for each that tells it, and what it is packed for, from all others

  /// Its file in a folder.
  std::string path_in(const std::string& folder) const;
};

/// A weight as oneDNN has packed it; of no size and without a layout where it lies so already.
struct PackedWeight {
  std::string layout;             // oneDNN's descriptor
  const uint8_t* data = nullptr;  // aligned to 64 bytes in a file of these
  size_t size = 0;                // bytes
};

/// Throws AOT_DAMAGED for what is no file, AOT_MACHINE_MISMATCH where this user may not read it.
MappedFile map_prepared(const std::string& path);

/// What is wrong with a file in which a weight's layout reaches beyond its bytes: AOT_DAMAGED.
Error described_larger(const std::string& path, const std::string& weight);

/// The weights of a file that lies in memory, in the order of the preparation; `path` is for messages. What the layouts
/// say has not been looked at. Throws AOT_DAMAGED for a file that is not whole, AOT_MODEL_MISMATCH for one that was
/// made from something else.
std::vector<PackedWeight> read_prepared(const uint8_t* data, size_t size, const Preparation& wanted,
                                        const std::string& path);

/// Writes such a file. It is there as a whole or not at all, also when the process is ended meanwhile. Throws
/// AOT_FAILED with the system's reason, and when another process is at it.
void write_prepared(const std::string& path, const Preparation& made, const std::vector<PackedWeight>& weights);

}  // namespace aot
