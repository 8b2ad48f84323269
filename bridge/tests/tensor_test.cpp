// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "check.h"

namespace {

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

aot_view view_of(std::vector<int64_t>& shape, int64_t* strides) {
  return {nullptr, {AOT_DEVICE_CPU, 0}, static_cast<int32_t>(shape.size()), {AOT_FLOAT, 32, 1}, shape.data(), strides,
          0};
}

bool in_order(std::vector<int64_t> shape, std::vector<int64_t> strides) {
  return aot::is_contiguous(view_of(shape, strides.data()));
}

int64_t count(const std::vector<int64_t>& shape) {
  return aot::count_elements(shape.data(), static_cast<int32_t>(shape.size()));
}

TEST(elements_are_counted_without_overflow) {
  CHECK_EQUAL(count({}), 1);
  CHECK_EQUAL(count({2, 3, 4}), 24);
  CHECK_EQUAL(count({kHuge, 0, kHuge}), 0);
  CHECK_THROWS(AOT_USAGE, "63 bits", count({kHuge, 2}));
  CHECK_THROWS(AOT_USAGE, "-1 at dim 1", count({2, -1}));
  CHECK_THROWS(AOT_USAGE, "-1 at dim 1", count({0, -1}));
}

TEST(c_order_ignores_strides_that_do_not_matter) {
  CHECK(in_order({}, {}));
  CHECK(in_order({2, 3}, {3, 1}));
  CHECK(in_order({2, 1, 3}, {3, 77, 1}));
  CHECK(in_order({1, 3}, {0, 1}));
  CHECK(in_order({0, 3}, {9, 9}));
  CHECK(in_order({kHuge, kHuge, 0}, {1, 1, 1}));
  CHECK(!in_order({2, 3}, {1, 2}));
  CHECK(!in_order({2, 3}, {0, 1}));
  CHECK(!in_order({2, 3}, {6, 2}));
}

TEST(strides_of_fresh_tensors_are_torchs) {
  const int64_t shape[] = {2, 0, 3, 1};
  const aot::CStrides strides(shape, 4);
  CHECK(std::equal(strides.values, strides.values + 4, std::vector<int64_t>{3, 3, 1, 1}.begin()));
  const int64_t empty[] = {0, kHuge, kHuge};
  CHECK_EQUAL(aot::CStrides(empty, 3).values[2], 1);
}

TEST(strided_copies_follow_both_orders) {
  const int64_t shape[] = {2, 3, 2};
  std::vector<int32_t> source(12);
  std::iota(source.begin(), source.end(), 0);
  const int64_t fortran[] = {1, 2, 6};
  std::vector<int32_t> packed(12);
  aot::copy_strided(packed.data(), nullptr, source.data(), fortran, shape, 3, sizeof(int32_t));
  size_t next = 0;
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      for (int k = 0; k < 2; ++k) CHECK_EQUAL(packed[next++], i + 2 * j + 6 * k);
    }
  }
  std::vector<int32_t> back(12);
  aot::copy_strided(back.data(), fortran, packed.data(), nullptr, shape, 3, sizeof(int32_t));
  CHECK(back == source);
  CHECK(aot::equal_strided(source.data(), fortran, packed.data(), nullptr, shape, 3, sizeof(int32_t)));
  packed[5] = -1;
  CHECK(!aot::equal_strided(source.data(), fortran, packed.data(), nullptr, shape, 3, sizeof(int32_t)));
}

TEST(strided_copies_of_odd_shapes) {
  int16_t one = 7;
  int16_t target = 0;
  aot::copy_strided(&target, nullptr, &one, nullptr, nullptr, 0, sizeof one);
  CHECK_EQUAL(target, 7);
  const int64_t shape[] = {4};
  const int64_t still[] = {0};
  int16_t repeated[4] = {};
  aot::copy_strided(repeated, nullptr, &one, still, shape, 1, sizeof one);
  CHECK_EQUAL(repeated[3], 7);
  const int64_t none[] = {3, 0};
  aot::copy_strided(nullptr, nullptr, nullptr, nullptr, none, 2, sizeof one);
}

}  // namespace
