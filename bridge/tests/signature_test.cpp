// SPDX-License-Identifier: Apache-2.0
#include "model/signature.h"

#include <limits>
#include <utility>
#include <vector>

#include "check.h"

namespace {

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
float storage[64];

/// An input with shape and strides of its own.
struct Given {
  explicit Given(std::vector<int64_t> sizes, aot_dtype dtype = {AOT_FLOAT, 32, 1}) : shape(std::move(sizes)) {
    view = {storage, {AOT_DEVICE_CPU, 0}, static_cast<int32_t>(shape.size()), dtype, shape.data(), nullptr, 0};
  }
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  aot_view view{};
};

Given with_strides(std::vector<int64_t> sizes, std::vector<int64_t> strides) {
  Given given(std::move(sizes));
  given.strides = std::move(strides);
  given.view.strides = given.strides.data();
  return given;
}

aot::Dim fixed(int64_t size) { return {size, size, ""}; }

const std::vector<aot::TensorSpec> kSpecs = {
    {"x", aot::Dtype::Float32, {{1, 8, "batch"}, fixed(4)}},
    {"y", aot::Dtype::Float32, {{1, kUnbounded, "batch"}}},
};

void check_pair(const Given& x, const Given& y) {
  const aot_view views[] = {x.view, y.view};
  aot::check_signature(kSpecs, views, 2);
}

TEST(views_that_are_sane_pass) {
  aot::check_view(Given({2, 4}).view, "x");
  aot::check_view(with_strides({2, 4}, {1, 2}).view, "x");
  aot::check_view(with_strides({2, 4}, {0, 0}).view, "x");
  aot::check_view(Given({}).view, "x");
  Given empty({0, 4});
  empty.view.data = nullptr;
  aot::check_view(empty.view, "x");
  Given scalar({});
  scalar.view.shape = nullptr;
  aot::check_view(scalar.view, "x");
}

TEST(views_that_are_not_sane_are_refused) {
  const auto refuse = [](const aot_view& view, const char* part) {
    CHECK_THROWS(AOT_USAGE, part, aot::check_view(view, "x"));
  };
  refuse(Given({2}, {AOT_FLOAT, 8, 1}).view, "bits 8");
  refuse(Given({2}, {AOT_COMPLEX, 32, 1}).view, "A bundle takes tensors of bool, uint8, ");
  refuse(Given({2}, aot_dtype{AOT_FLOAT, 32, 4}).view, "lanes 4");
  refuse(with_strides({2, 4}, {-4, 1}).view, "stride -4 at dim 0");
  refuse(Given({2, -4}).view, "-4 at dim 1");
  refuse(Given({kUnbounded, 3}).view, "63 bits");
  refuse(Given({kUnbounded}).view, "No memory holds");
  refuse(with_strides({2, 2}, {kUnbounded, kUnbounded}).view, "reach further");
  refuse(with_strides({kUnbounded / 8, 2}, {9, 1}).view, "No memory holds");
  Given input({2, 4});
  input.view.data = nullptr;
  refuse(input.view, "no data");
  input.view.data = storage;
  input.view.shape = nullptr;
  refuse(input.view, "no shape");
  for (const int32_t ndim : {-1, 65, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()}) {
    Given odd({2});
    odd.view.ndim = ndim;
    refuse(odd.view, "dims");
  }
}

TEST(fitting_inputs_pass) {
  check_pair(Given({1, 4}), Given({1}));
  check_pair(Given({8, 4}), Given({8}));
}

TEST(derived_sizes_agree_with_the_size_they_follow_from) {
  const std::vector<aot::TensorSpec> specs = {
      {"pairs", aot::Dtype::Float32, {{3, 21, "2*batch + 1", "batch", 2, 1}}},
      {"x", aot::Dtype::Float32, {{1, 10, "batch"}}},
  };
  const auto check = [&](int64_t pairs, int64_t x) {
    const Given first({pairs});
    const Given second({x});
    const aot_view views[] = {first.view, second.view};
    aot::check_signature(specs, views, 2);
  };
  check(3, 1);
  check(21, 10);
  CHECK_THROWS(AOT_USAGE, "dim 0 of \"x\" is 3 and dim 0 of \"pairs\" is 9", check(9, 3));
  CHECK_THROWS(AOT_USAGE, "the sizes batch and 2*batch + 1", check(9, 3));
  CHECK_THROWS(AOT_USAGE, "has 8 at dim 0", check(8, 4));
  CHECK_THROWS(AOT_USAGE, "has 23 at dim 0", check(23, 11));
}

TEST(dims_of_one_symbol_agree_wherever_they_are) {
  const std::vector<aot::TensorSpec> specs = {
      {"weight", aot::Dtype::Float32, {fixed(2), fixed(3)}},
      {"scores", aot::Dtype::Float32, {{1, 9, "heads"}, {1, 9, "length"}, {1, 9, "length"}}},
      {"mask", aot::Dtype::Float32, {fixed(1), {1, 9, "length"}}},
  };
  const Given weight({2, 3});
  const auto check = [&](std::vector<int64_t> scores, std::vector<int64_t> mask) {
    const Given second(std::move(scores));
    const Given third(std::move(mask));
    const aot_view views[] = {weight.view, second.view, third.view};
    aot::check_signature(specs, views, 3);
  };
  check({4, 5, 5}, {1, 5});
  CHECK_THROWS(AOT_USAGE, "dim 2 of \"scores\" is 6 and dim 1 of \"scores\" is 5", check({4, 5, 6}, {1, 5}));
  CHECK_THROWS(AOT_USAGE, "dim 1 of \"mask\" is 4 and dim 1 of \"scores\" is 5", check({4, 5, 5}, {1, 4}));
  CHECK_THROWS(AOT_USAGE, "with one size, length, for both.", check({4, 5, 5}, {1, 4}));
  CHECK_THROWS(AOT_USAGE, "in this order: weight, scores, mask.", aot::check_signature(specs, &weight.view, 1));
  CHECK_THROWS(AOT_USAGE, "The model has no inputs.", aot::check_signature({}, &weight.view, 1));
}

TEST(misfits_are_named_with_what_was_expected) {
  CHECK_THROWS(AOT_USAGE, "1 inputs were given; the model takes 2",
               aot::check_signature(kSpecs, &static_cast<const aot_view&>(Given({1, 4}).view), 1));
  CHECK_THROWS(AOT_USAGE, "float32[batch (1 to 8), 4]", check_pair(Given({1, 5}), Given({1})));
  CHECK_THROWS(AOT_USAGE, "has 5 at dim 1: [1, 5]", check_pair(Given({1, 5}), Given({1})));
  CHECK_THROWS(AOT_USAGE, "has 9 at dim 0", check_pair(Given({9, 4}), Given({9})));
  CHECK_THROWS(AOT_USAGE, "has 0 at dim 0", check_pair(Given({0, 4}), Given({0})));
  CHECK_THROWS(AOT_USAGE, "has 1 dims: [4]", check_pair(Given({4}), Given({1})));
  CHECK_THROWS(AOT_USAGE, "has the dtype float64", check_pair(Given({1, 4}, {AOT_FLOAT, 64, 1}), Given({1})));
  CHECK_THROWS(AOT_USAGE, "dim 0 of \"y\" is 3 and dim 0 of \"x\" is 2", check_pair(Given({2, 4}), Given({3})));
  CHECK_THROWS(AOT_USAGE, "float32[batch (1 or more)]", check_pair(Given({2, 4}), Given({2, 2})));
}

}  // namespace
