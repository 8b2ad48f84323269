// SPDX-License-Identifier: Apache-2.0
// Conditions on the sizes of a call that no range says, such as "a multiple of 6". The writing side, and the language,
// are in toolchain/aotpack/exporting/worker/graph/guard_language.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "aot_bridge.h"
#include "package/tensor_spec.h"

namespace aot {

class Json;

class Guard {
 public:
  /// Reads `{"that": expression, "text": ...}`; `inputs` are whose dims the symbols are. Throws JsonError.
  Guard(const Json& value, const std::vector<TensorSpec>& inputs);

  /// Whether inputs that fit the specs satisfy it. What overflows or divides by zero does not.
  bool holds(const aot_view* inputs) const;

  /// The sizes it is about: `dim 0 of "x" is 35 and dim 1 of "y" is 4`.
  std::string sizes(const std::vector<TensorSpec>& specs, const aot_view* inputs) const;

  /// For a person: `x.shape[0] is a multiple of 6`.
  const std::string& text() const { return text_; }

 private:
  enum class Op : uint8_t {
    kNumber,
    kSize,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kModulo,
    kMin,
    kMax,
    kEqual,
    kUnequal,
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual,
    kAnd,
    kOr,
    kNot
  };
  /// One step of the expression in postfix order.
  struct Step {
    Op op;
    int64_t number;  // of kSize: which of places_
  };
  /// The first dim that tells a symbol, which is (its size - offset) / factor.
  struct Place {
    size_t input;
    size_t dim;
    int64_t factor;
    int64_t offset;
  };

  void compile(const Json& expression, const std::vector<TensorSpec>& inputs, size_t depth);
  int64_t place_of(const std::string& symbol, const std::vector<TensorSpec>& inputs);
  static bool apply(Op op, int64_t left, int64_t right, int64_t* result);

  std::vector<Step> steps_;
  std::vector<Place> places_;
  std::string text_;
};

}  // namespace aot
