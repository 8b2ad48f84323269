// SPDX-License-Identifier: Apache-2.0
// Weights in oneDNN's orders, found in their descriptors and put into C order.
#include "package/packed_layout.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "check.h"

namespace {

constexpr size_t kDims = 12;

/// A weight of float32 as oneDNN 3 describes it: a dim's blocks from the outermost to the innermost.
struct Layout {
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;  // from block to block, in elements
  std::vector<int64_t> block_sizes;
  std::vector<int64_t> block_dims;

  std::string descriptor() const {
    std::string bytes(768, '\0');
    const auto put = [&](size_t at, const auto& value) { std::memcpy(&bytes[at], &value, sizeof value); };
    constexpr size_t kArray = kDims * sizeof(int64_t);
    put(0, int32_t{1});
    put(4, static_cast<int32_t>(sizes.size()));
    for (size_t d = 0; d < sizes.size(); ++d) {
      int64_t block = 1;
      for (size_t i = 0; i < block_dims.size(); ++i) {
        if (block_dims[i] == static_cast<int64_t>(d)) block *= block_sizes[i];
      }
      put(8 + d * 8, sizes[d]);
      put(16 + kArray + d * 8, (sizes[d] + block - 1) / block * block);
      put(32 + 3 * kArray + d * 8, strides[d]);
    }
    put(8 + kArray, int32_t{3});
    put(24 + 3 * kArray, int32_t{2});
    put(32 + 4 * kArray, static_cast<int32_t>(block_sizes.size()));
    for (size_t i = 0; i < block_sizes.size(); ++i) {
      put(40 + 4 * kArray + i * 8, block_sizes[i]);
      put(40 + 5 * kArray + i * 8, block_dims[i]);
    }
    const int32_t groups = sizes.size() == 5 ? static_cast<int32_t>(sizes[0]) : 1;
    bytes.append(reinterpret_cast<const char*>(&groups), sizeof groups);
    return bytes;
  }
};

/// What lies at each place of memory that holds its own place's number, in C order.
std::vector<float> places(const Layout& layout, const std::vector<int64_t>& shape) {
  size_t bytes = 0;
  const std::string descriptor = layout.descriptor();
  CHECK(aot::packed_extent(descriptor, shape, sizeof(float), &bytes));
  CHECK(bytes != aot::kBeyondAnyFile);
  CHECK(aot::is_unpackable(descriptor, shape));
  std::vector<float> packed(bytes / sizeof(float));
  for (size_t i = 0; i < packed.size(); ++i) packed[i] = static_cast<float>(i);
  size_t elements = 1;
  for (const int64_t size : shape) elements *= static_cast<size_t>(size);
  std::vector<float> plain(elements);
  auto* const bytes_of_plain = reinterpret_cast<uint8_t*>(plain.data());
  aot::unpack(descriptor, sizeof(float), reinterpret_cast<const uint8_t*>(packed.data()), bytes_of_plain);
  const std::string order = aot::plain_layout(descriptor);
  // What has no blocks is as long as its elements, and unpacking it changes nothing.
  CHECK(aot::packed_extent(order, shape, sizeof(float), &bytes));
  CHECK_EQUAL(bytes, elements * sizeof(float));
  std::vector<float> again(elements);
  aot::unpack(order, sizeof(float), bytes_of_plain, reinterpret_cast<uint8_t*>(again.data()));
  CHECK(again == plain);
  return plain;
}

/// "64,32"
std::vector<int64_t> integers(const std::string& text) {
  std::vector<int64_t> numbers;
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end + 1) {
    end = std::min(text.find(',', begin), text.size());
    numbers.push_back(std::stoll(text.substr(begin, end - begin)));
  }
  return numbers;
}

/// The bytes of a row of packed_layout_cases.inc.
std::string written(size_t size, const std::string& numbers) {
  std::string bytes(size, '\0');
  for (size_t begin = 0, end = 0; begin < numbers.size(); begin = end + 1) {
    end = std::min(numbers.find(' ', begin), numbers.size());
    size_t width = 0;
    size_t at = std::stoul(numbers.substr(begin), &width);
    const size_t equals = numbers.find('=', begin);
    width = std::stoul(numbers.substr(begin + width + 1));
    for (const int64_t value : integers(numbers.substr(equals + 1, end - equals - 1))) {
      std::memcpy(&bytes.at(at), &value, width);
      at += width;
    }
  }
  return bytes;
}

TEST(descriptors_are_read_as_the_table_says) {
  struct Case {
    const char* what;
    const char* size;
    const char* numbers;
    const char* shape;
    const char* item_size;
    std::string_view extent;
    const char* half;
  };
  const Case cases[] = {
#define PACKED(what, bytes, numbers, shape, item_size, extent, half, slim, panels) \
  {what, bytes, numbers, shape, item_size, extent, half},
#include "packed_layout_cases.inc"
#undef PACKED
  };
  for (const Case& each : cases) {
    const std::string descriptor = written(std::stoul(each.size), each.numbers);
    size_t bytes = 0;
    const bool is_known = aot::packed_extent(descriptor, integers(each.shape), std::stoul(each.item_size), &bytes);
    const std::string extent = !is_known ? "unknown" : bytes == aot::kBeyondAnyFile ? "beyond" : std::to_string(bytes);
    CHECK_EQUAL(aot::concat({each.what, ": ", extent}), aot::concat({each.what, ": ", each.extent}));
    CHECK_EQUAL(aot::concat({each.what, ": ", aot::half_of(descriptor)}), aot::concat({each.what, ": ", each.half}));
  }
}

TEST(panels_of_output_channels_are_unpacked) {
  // Acdb4a of 6 x 3 x 2 x 1: panels of 4 of 6 channels, filled up to 8.
  const Layout layout{{6, 3, 2, 1}, {24, 4, 12, 12}, {4}, {0}};
  const std::vector<float> plain = places(layout, {6, 3, 2, 1});
  size_t at = 0;
  for (int64_t a = 0; a < 6; ++a) {
    for (int64_t b = 0; b < 3; ++b) {
      for (int64_t c = 0; c < 2; ++c) {
        const int64_t place = a / 4 * 24 + b * 4 + c * 12 + a % 4;
        CHECK_EQUAL(plain[at++], static_cast<float>(place));
      }
    }
  }
}

TEST(channels_of_transposed_convolutions_change_places) {
  // 2 groups of 3 output and 2 input channels, in panels of 4 output channels: torch's shape is 4 x 3.
  const Layout layout{{2, 3, 2, 1, 2}, {16, 16, 4, 16, 8}, {4}, {1}};
  size_t bytes = 0;
  CHECK(aot::packed_extent(layout.descriptor(), {6, 2, 1, 2}, sizeof(float), &bytes));
  std::vector<float> packed(bytes / sizeof(float));
  for (size_t i = 0; i < packed.size(); ++i) packed[i] = static_cast<float>(i);
  std::vector<float> plain(24);
  aot::unpack(layout.descriptor(), sizeof(float), reinterpret_cast<const uint8_t*>(packed.data()),
              reinterpret_cast<uint8_t*>(plain.data()), /*inputs_first=*/true);
  size_t at = 0;
  for (int64_t group = 0; group < 2; ++group) {
    for (int64_t input = 0; input < 2; ++input) {
      for (int64_t output = 0; output < 3; ++output) {
        for (int64_t tap = 0; tap < 2; ++tap) {
          CHECK_EQUAL(plain[at++], static_cast<float>(group * 16 + input * 4 + tap * 8 + output));
        }
      }
    }
  }
}

TEST(weights_of_16_bits_are_told_by_their_type) {
  std::string descriptor = Layout{{6, 3}, {3, 1}, {}, {}}.descriptor();
  const auto half = [&](int32_t type) {
    std::memcpy(&descriptor[8 + kDims * sizeof(int64_t)], &type, sizeof type);
    return aot::half_of(descriptor);
  };
  CHECK_EQUAL(half(1), std::string("float16"));
  CHECK_EQUAL(half(2), std::string("bfloat16"));
  CHECK_EQUAL(half(3), std::string());
  CHECK_EQUAL(aot::half_of(""), std::string());
}

TEST(sums_lie_behind_a_quantised_weight) {
  // Of 6 output channels, filled up to 8: for the inputs' zero point and, of another, for their sign as well.
  std::string descriptor = Layout{{6, 3, 2, 1}, {24, 4, 12, 12}, {4}, {0}}.descriptor();
  const auto put = [&](size_t at, const auto& value) { std::memcpy(&descriptor[at], &value, sizeof value); };
  put(8 + kDims * sizeof(int64_t), int32_t{5});  // int8
  const std::vector<int64_t> shape{6, 3, 2, 1};
  size_t bytes = 0;
  CHECK(aot::packed_extent(descriptor, shape, 1, &bytes));
  CHECK_EQUAL(bytes, size_t{48});
  put(640, uint64_t{8});
  put(656, int32_t{1});
  CHECK(aot::packed_extent(descriptor, shape, 1, &bytes));
  CHECK_EQUAL(bytes, size_t{48 + 8 * 4});
  put(640, uint64_t{9});
  put(648, int32_t{3});
  CHECK(aot::packed_extent(descriptor, shape, 1, &bytes));
  CHECK_EQUAL(bytes, size_t{48 + 8 * 4 + 8 * 3 * 4});
  put(640, uint64_t{16});  // something else that is not known here
  CHECK(!aot::packed_extent(descriptor, shape, 1, &bytes));
  put(640, uint64_t{8});
  put(664, int32_t{1});
  CHECK(!aot::packed_extent(descriptor, shape, 1, &bytes));
}

TEST(blocks_of_two_dims_and_of_one_dim_twice_are_unpacked) {
  // AB4b4a2b of 5 x 9, as bfloat16 lies: rows in blocks of 4, columns in blocks of 4 times 2.
  const Layout layout{{5, 9}, {64, 32}, {4, 4, 2}, {1, 0, 1}};
  const std::vector<float> plain = places(layout, {5, 9});
  for (int64_t a = 0; a < 5; ++a) {
    for (int64_t b = 0; b < 9; ++b) {
      const int64_t place = a / 4 * 64 + b / 8 * 32 + b % 8 / 2 * 8 + a % 4 * 2 + b % 2;
      CHECK_EQUAL(plain[static_cast<size_t>(a * 9 + b)], static_cast<float>(place));
    }
  }
}

TEST(groups_are_output_channels_in_the_models_own_shape) {
  // Abcde4a of 4 groups of one channel each: a depthwise weight of 4 x 1 x 1 x 3.
  const Layout layout{{4, 1, 1, 1, 3}, {12, 12, 12, 12, 4}, {4}, {0}};
  const std::vector<float> plain = places(layout, {4, 1, 1, 3});
  for (int64_t a = 0; a < 4; ++a) {
    for (int64_t e = 0; e < 3; ++e) {
      CHECK_EQUAL(plain[static_cast<size_t>(a * 3 + e)], static_cast<float>(e * 4 + a));
    }
  }
}

TEST(a_weight_without_dims_is_looked_at) {
  const Layout layout{{1}, {1}, {}, {}};
  CHECK(aot::is_unpackable(layout.descriptor(), {}));
}

TEST(quantised_weights_stay_packed) {
  std::string descriptor = Layout{{6, 3, 2, 1}, {24, 4, 12, 12}, {4}, {0}}.descriptor();
  constexpr int32_t kInt8 = 5;
  std::memcpy(&descriptor[8 + kDims * sizeof(int64_t)], &kInt8, sizeof kInt8);
  CHECK(!aot::is_unpackable(descriptor, {6, 3, 2, 1}));
}

TEST(recurrent_weights_stay_packed) {
  // abdEc4e of 1 x 1 x 3 x 4 x 8: layers, directions, inputs, gates, outputs.
  const Layout layout{{1, 1, 3, 4, 8}, {96, 96, 4, 24, 12}, {4}, {4}};
  CHECK(!aot::is_unpackable(layout.descriptor(), {1, 1, 3, 4, 8}));
}

}  // namespace
