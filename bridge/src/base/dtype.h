// SPDX-License-Identifier: Apache-2.0
// Element types: torch's names and DLPack's codes for the same thing.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "aot_bridge.h"

namespace aot {

/// The dtypes that a bundle takes and returns. Torch has more: complex32, and those of eight and of four bits.
enum class Dtype : int {
  Bool,
  UInt8,
  Int8,
  Int16,
  Int32,
  Int64,
  UInt16,
  UInt32,
  UInt64,
  Float16,
  BFloat16,
  Float32,
  Float64,
  Complex64,
  Complex128,
};

constexpr int kDtypeCount = 15;

/// torch's name without the prefix, such as "float32".
const char* name_of(Dtype dtype);

/// All of them, for messages: "bool, uint8, ...".
std::string dtype_names();

aot_dtype dlpack_of(Dtype dtype);

/// Bytes of one element.
size_t size_of(Dtype dtype);

/// Throws AOT_DAMAGED for a name that is none of ours.
Dtype dtype_from_name(std::string_view name);

/// False when DLPack's code, bits and lanes are none of ours.
bool dtype_from_dlpack(aot_dtype dlpack, Dtype* out);

/// For messages: "float32", or DLPack's numbers when it is none of ours.
std::string to_string(aot_dtype dlpack);

}  // namespace aot
