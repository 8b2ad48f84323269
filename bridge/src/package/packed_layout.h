// SPDX-License-Identifier: Apache-2.0
// Where the bytes of a weight lie that oneDNN has packed, as oneDNN's own descriptor of it says. oneDNN believes a
// descriptor: of one that lies it reads what is not there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace aot {

/// More bytes than any file has: of a layout that contradicts itself.
constexpr size_t kBeyondAnyFile = std::numeric_limits<size_t>::max();

/// Fills in the bytes from a weight's first one to the end of its last one, elements of padding included; that is
/// kBeyondAnyFile unless the descriptor makes sense and has as many elements of `size` bytes as `shape`. False when it
/// is of a kind that the bridge does not know.
bool packed_extent(const std::string& descriptor, const std::vector<int64_t>& shape, size_t size, size_t* bytes);

/// "bfloat16" or "float16" where a weight of that type was packed; empty for others.
std::string half_of(const std::string& descriptor);

/// The descriptor with zeros between its fields, where oneDNN leaves what was in memory. Of one that packed_extent has
/// found to make sense.
std::string without_gaps(const std::string& descriptor);

/// Whether `unpack` gives a weight that oneDNN still takes for a layer's: of linear layers and convolutions that are
/// not quantised. Of a descriptor that packed_extent has found to make sense.
bool is_unpackable(const std::string& descriptor, const std::vector<int64_t>& shape);

/// The descriptor of the same elements one behind the other in the C order of oneDNN's sizes. Of a descriptor that
/// packed_extent has found to make sense.
std::string plain_layout(const std::string& descriptor);

/// Writes the elements, of `size` bytes, in that order; with `inputs_first` input channels before output channels, as
/// torch has them in a transposed convolution. Of such a descriptor, and of a weight as long as packed_extent said.
void unpack(const std::string& descriptor, size_t size, const uint8_t* packed, uint8_t* plain,
            bool inputs_first = false);

}  // namespace aot
