// SPDX-License-Identifier: Apache-2.0
#include "package/packed_layout.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace aot {
namespace {

constexpr size_t kMostDims = 12;

/// How a struct dnnl_memory_desc of oneDNN 3 begins when its layout is one of blocks: the elements of a block lie side
/// by side, the last of its sizes fastest; strides lead from block to block.
struct Descriptor {
  int32_t kind;
  int32_t rank;
  int64_t sizes[kMostDims];
  int32_t dtype;
  int64_t padded_sizes[kMostDims];
  int64_t padded_offsets[kMostDims];
  int64_t offset;
  int32_t format;
  int64_t strides[kMostDims];
  int32_t blocks;
  int64_t block_sizes[kMostDims];
  int64_t block_dims[kMostDims];
  int64_t zero[3];
  /// Which sums over its elements lie behind those of a quantised weight, and a bit for each dim that the sums have.
  uint64_t sums;
  int32_t dims_of_signed;
  int32_t scale;  // of signed elements, which does not change where they lie
  int32_t dims_of_unsigned;
};
constexpr int32_t kBlocked = 2;
/// Sums for signed inputs, which are taken for unsigned ones, and for inputs with a zero point.
constexpr uint64_t kForSigned = 1;
constexpr uint64_t kForZeroPoint = 8;

/// Behind it torch's library for oneDNN writes how many groups a convolution has; between the two is zero.
constexpr size_t kGroupsAt = 768;
static_assert(offsetof(Descriptor, sums) == 640);
constexpr size_t kEndOfSums = offsetof(Descriptor, dims_of_unsigned) + sizeof(int32_t);

/// Bytes of an element by oneDNN's number of its type: -, float16, bfloat16, float32, int32, int8, uint8, float64,
/// bool.
constexpr size_t kElementSizes[] = {0, 2, 2, 4, 4, 1, 1, 8, 1};

/// A number that once too large stays so.
class Size {
 public:
  explicit Size(int64_t value) : value_(value), is_valid_(value >= 0) {}
  void multiply(int64_t by) { is_valid_ = is_valid_ && by >= 0 && !__builtin_mul_overflow(value_, by, &value_); }
  void add(const Size& other) {
    is_valid_ = is_valid_ && other.is_valid_ && !__builtin_add_overflow(value_, other.value_, &value_);
  }
  bool is(const Size& other) const { return is_valid_ && other.is_valid_ && value_ == other.value_; }
  size_t bytes() const { return is_valid_ ? static_cast<size_t>(value_) : kBeyondAnyFile; }

 private:
  int64_t value_;
  bool is_valid_;
};

Descriptor read(const std::string& descriptor) {
  Descriptor given;
  std::memcpy(&given, descriptor.data(), sizeof given);
  return given;
}

bool is_known(const std::string& descriptor, const Descriptor& given, size_t size) {
  constexpr auto kTypes = static_cast<int32_t>(sizeof kElementSizes / sizeof *kElementSizes);
  constexpr auto kMost = static_cast<int32_t>(kMostDims);
  const auto is_count = [](int32_t count) { return count >= 0 && count <= kMost; };
  int32_t groups = 0;
  if (descriptor.size() != kGroupsAt + sizeof groups) return false;
  std::memcpy(&groups, descriptor.data() + kGroupsAt, sizeof groups);
  const auto is_zero = [](char byte) { return byte == 0; };
  if (!std::all_of(descriptor.begin() + offsetof(Descriptor, zero), descriptor.begin() + offsetof(Descriptor, sums),
                   is_zero) ||
      !std::all_of(descriptor.begin() + kEndOfSums, descriptor.begin() + kGroupsAt, is_zero) ||
      (given.sums & ~(kForSigned | kForZeroPoint)) != 0) {
    return false;
  }
  return (groups == 1 || groups == given.sizes[0]) && given.format == kBlocked && given.rank > 0 &&
         is_count(given.rank) && is_count(given.blocks) && given.dtype > 0 && given.dtype < kTypes &&
         kElementSizes[given.dtype] == size;
}

/// Bytes of the sums behind a quantised weight's elements: an int32 for each place along their dims.
Size sums_behind(const Descriptor& given) {
  Size all(0);
  const auto add = [&](uint64_t flag, int32_t dims) {
    if ((given.sums & flag) == 0) return;
    Size sums(sizeof(int32_t));
    for (int32_t d = 0; d < given.rank; ++d) {
      if ((dims & (1 << d)) != 0) sums.multiply(given.padded_sizes[d]);
    }
    all.add(sums);
  };
  add(kForSigned, given.dims_of_signed);
  add(kForZeroPoint, given.dims_of_unsigned);
  return all;
}

}  // namespace

bool packed_extent(const std::string& descriptor, const std::vector<int64_t>& shape, size_t size, size_t* bytes) {
  if (descriptor.size() < sizeof(Descriptor)) return false;
  const Descriptor given = read(descriptor);
  if (!is_known(descriptor, given, size)) return false;
  *bytes = kBeyondAnyFile;

  int64_t block_of[kMostDims];  // elements of a block along each dim
  std::fill_n(block_of, kMostDims, 1);
  Size block(1);
  for (int32_t i = 0; i < given.blocks; ++i) {
    const int64_t dim = given.block_dims[i];
    if (dim < 0 || dim >= given.rank || given.block_sizes[i] <= 0 ||
        __builtin_mul_overflow(block_of[dim], given.block_sizes[i], &block_of[dim])) {
      return true;
    }
    block.multiply(given.block_sizes[i]);
  }

  Size expected(1);
  for (const int64_t dim : shape) expected.multiply(dim);
  Size elements(1);
  Size end(given.offset);   // of the last block, in elements
  Size padded_elements(1);  // which lie nowhere twice
  for (int32_t d = 0; d < given.rank; ++d) {
    const int64_t padded = given.padded_sizes[d];
    elements.multiply(given.sizes[d]);
    padded_elements.multiply(padded);
    if (given.sizes[d] <= 0 || padded < given.sizes[d] || padded % block_of[d] != 0 || given.padded_offsets[d] != 0 ||
        given.strides[d] < 0) {
      return true;
    }
    Size reach(padded / block_of[d] - 1);
    reach.multiply(given.strides[d]);
    end.add(reach);
  }
  end.add(block);
  end.multiply(static_cast<int64_t>(size));
  padded_elements.multiply(static_cast<int64_t>(size));
  const Size sums = sums_behind(given);
  end.add(sums);
  padded_elements.add(sums);
  if (elements.is(expected)) *bytes = std::max(end.bytes(), padded_elements.bytes());
  return true;
}

std::string half_of(const std::string& descriptor) {
  constexpr int32_t kFloat16 = 1;
  constexpr int32_t kBfloat16 = 2;
  int32_t dtype = 0;  // it stands there in descriptors of all kinds
  if (descriptor.size() < offsetof(Descriptor, dtype) + sizeof dtype) return "";
  std::memcpy(&dtype, descriptor.data() + offsetof(Descriptor, dtype), sizeof dtype);
  if (dtype == kBfloat16) return "bfloat16";
  return dtype == kFloat16 ? "float16" : "";
}

std::string without_gaps(const std::string& descriptor) {
  std::string clean = descriptor;
  const auto clear = [&](size_t begin, size_t end) { clean.replace(begin, end - begin, end - begin, '\0'); };
  clear(offsetof(Descriptor, dtype) + sizeof(int32_t), offsetof(Descriptor, padded_sizes));
  clear(offsetof(Descriptor, format) + sizeof(int32_t), offsetof(Descriptor, strides));
  clear(offsetof(Descriptor, blocks) + sizeof(int32_t), offsetof(Descriptor, block_sizes));
  return clean;
}

bool is_unpackable(const std::string& descriptor, const std::vector<int64_t>& shape) {
  const Descriptor given = read(descriptor);
  if (kElementSizes[given.dtype] == 1) return false;
  // Blocks are of channels; a recurrent layer's are of its last dim. A convolution's groups are a dim of their own.
  const int64_t channels = static_cast<size_t>(given.rank) == shape.size() + 1 ? 3 : 2;
  return std::all_of(given.block_dims, given.block_dims + given.blocks, [&](int64_t dim) { return dim < channels; });
}

std::string plain_layout(const std::string& descriptor) {
  Descriptor given = read(descriptor);
  int64_t stride = 1;
  for (int32_t d = given.rank; d-- > 0;) {
    given.strides[d] = stride;
    given.padded_sizes[d] = given.sizes[d];
    stride *= given.sizes[d];
  }
  given.offset = 0;
  given.blocks = 0;
  std::fill_n(given.block_sizes, kMostDims, 0);
  std::fill_n(given.block_dims, kMostDims, 0);
  std::string plain = descriptor;
  std::memcpy(plain.data(), &given, sizeof given);
  return plain;
}

void unpack(const std::string& descriptor, size_t size, const uint8_t* packed, uint8_t* plain, bool inputs_first) {
  const Descriptor given = read(descriptor);
  // Where an element lies is a sum with a term for each of its indices.
  std::vector<std::vector<size_t>> terms(static_cast<size_t>(given.rank));
  for (int32_t d = 0; d < given.rank; ++d) {
    for (int64_t index = 0; index < given.sizes[d]; ++index) {
      int64_t term = 0;
      int64_t rest = index;
      int64_t inner = 1;  // elements of a block within the one that is looked at
      for (int32_t i = given.blocks - 1; i >= 0; --i) {
        if (given.block_dims[i] == d) {
          term += rest % given.block_sizes[i] * inner;
          rest /= given.block_sizes[i];
        }
        inner *= given.block_sizes[i];
      }
      terms[static_cast<size_t>(d)].push_back(static_cast<size_t>(term + rest * given.strides[d]) * size);
    }
  }
  if (inputs_first) {
    int32_t groups = 0;
    std::memcpy(&groups, descriptor.data() + kGroupsAt, sizeof groups);
    const size_t channels = groups > 1 ? 1 : 0;  // groups are a dim of their own
    if (channels + 1 < terms.size()) std::swap(terms[channels], terms[channels + 1]);
  }
  const std::vector<size_t> last = std::move(terms.back());
  terms.pop_back();
  std::vector<size_t> indices(terms.size(), 0);
  for (;;) {
    const uint8_t* row = packed + static_cast<size_t>(given.offset) * size;
    for (size_t d = 0; d < terms.size(); ++d) row += terms[d][indices[d]];
    for (const size_t term : last) {
      std::memcpy(plain, row + term, size);
      plain += size;
    }
    size_t d = terms.size();
    while (d > 0 && ++indices[d - 1] == terms[d - 1].size()) indices[--d] = 0;
    if (d == 0) return;
  }
}

}  // namespace aot
