// SPDX-License-Identifier: Apache-2.0
#include "package/guard.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/text.h"
#include "package/json.h"

namespace aot {
namespace {

/// How deep expressions nest; an evaluation needs one more number than that.
constexpr size_t kDeepest = 24;

/// Rounds down, as Python does. Neither is called with a divisor of 0 or -1.
int64_t floor_of_quotient(int64_t left, int64_t right) {
  const bool is_rounded_up = left % right != 0 && (left < 0) != (right < 0);
  return left / right - (is_rounded_up ? 1 : 0);
}
int64_t floor_remainder(int64_t left, int64_t right) {
  const int64_t rest = left % right;
  return rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest;
}

}  // namespace

Guard::Guard(const Json& value, const std::vector<TensorSpec>& inputs) : text_(value.at("text").text()) {
  compile(value.at("that"), inputs, kDeepest);
}

void Guard::compile(const Json& expression, const std::vector<TensorSpec>& inputs, size_t depth) {
  struct Operator {
    std::string_view name;
    Op op;
    size_t least;  // operands
    size_t most;
  };
  constexpr size_t kAny = SIZE_MAX;
  static constexpr Operator kOperators[] = {
      {"+", Op::kAdd, 2, kAny},          {"-", Op::kSubtract, 2, 2},
      {"*", Op::kMultiply, 2, kAny},     {"//", Op::kDivide, 2, 2},
      {"%", Op::kModulo, 2, 2},          {"min", Op::kMin, 2, kAny},
      {"max", Op::kMax, 2, kAny},        {"==", Op::kEqual, 2, 2},
      {"!=", Op::kUnequal, 2, 2},        {"<", Op::kLess, 2, 2},
      {"<=", Op::kLessOrEqual, 2, 2},    {">", Op::kGreater, 2, 2},
      {">=", Op::kGreaterOrEqual, 2, 2}, {"and", Op::kAnd, 2, kAny},
      {"or", Op::kOr, 2, kAny},          {"not", Op::kNot, 1, 1},
  };
  if (depth == 0) throw JsonError("a guard is nested too deep");
  if (expression.kind() == Json::Kind::Integer) {
    steps_.push_back({Op::kNumber, expression.integer()});
    return;
  }
  if (expression.kind() == Json::Kind::Text) {
    steps_.push_back({Op::kSize, place_of(expression.text(), inputs)});
    return;
  }
  const std::vector<Json>& items = expression.items();
  const std::string name = items.empty() ? "" : items[0].text();
  const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                   [&](const Operator& candidate) { return candidate.name == name; });
  const size_t operands = items.empty() ? 0 : items.size() - 1;
  if (found == std::end(kOperators) || operands < found->least || operands > found->most) {
    throw JsonError(concat({"a guard has \"", name, "\" of ", operands, " operands"}));
  }
  for (size_t i = 1; i <= operands; ++i) {
    compile(items[i], inputs, depth - 1);
    if (i > 1 || found->op == Op::kNot) steps_.push_back({found->op, 0});
  }
}

int64_t Guard::place_of(const std::string& symbol, const std::vector<TensorSpec>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    for (size_t d = 0; d < inputs[i].dims.size(); ++d) {
      const Dim& dim = inputs[i].dims[d];
      if (dim.symbol.empty() || (dim.of.empty() ? dim.symbol : dim.of) != symbol) continue;
      const auto same = [&](const Place& place) { return place.input == i && place.dim == d; };
      const auto known = std::find_if(places_.begin(), places_.end(), same);
      const int64_t index = known - places_.begin();
      if (known == places_.end()) places_.push_back({i, d, dim.factor, dim.offset});
      return index;
    }
  }
  throw JsonError(concat({"a guard is about \"", symbol, "\", which no input has"}));
}

bool Guard::holds(const aot_view* inputs) const {
  std::array<int64_t, kDeepest + 1> stack{};
  size_t top = 0;  // numbers on the stack
  for (const Step& step : steps_) {
    if (step.op == Op::kNumber) {
      stack[top++] = step.number;
    } else if (step.op == Op::kSize) {
      const Place& place = places_[static_cast<size_t>(step.number)];
      stack[top++] = (inputs[place.input].shape[place.dim] - place.offset) / place.factor;
    } else if (step.op == Op::kNot) {
      stack[top - 1] = stack[top - 1] == 0 ? 1 : 0;
    } else {
      --top;
      if (!apply(step.op, stack[top - 1], stack[top], &stack[top - 1])) return false;
    }
  }
  return stack[0] != 0;
}

/// False where there is no result.
bool Guard::apply(Op op, int64_t left, int64_t right, int64_t* result) {
  switch (op) {
    case Op::kAdd:
      return !__builtin_add_overflow(left, right, result);
    case Op::kSubtract:
      return !__builtin_sub_overflow(left, right, result);
    case Op::kMultiply:
      return !__builtin_mul_overflow(left, right, result);
    case Op::kDivide:
      if (right == 0) return false;
      if (right == -1) return !__builtin_sub_overflow(int64_t{0}, left, result);
      *result = floor_of_quotient(left, right);
      return true;
    case Op::kModulo:
      if (right == 0) return false;
      *result = right == -1 ? 0 : floor_remainder(left, right);
      return true;
    case Op::kMin:
      *result = std::min(left, right);
      return true;
    case Op::kMax:
      *result = std::max(left, right);
      return true;
    case Op::kEqual:
      *result = left == right ? 1 : 0;
      return true;
    case Op::kUnequal:
      *result = left != right ? 1 : 0;
      return true;
    case Op::kLess:
      *result = left < right ? 1 : 0;
      return true;
    case Op::kLessOrEqual:
      *result = left <= right ? 1 : 0;
      return true;
    case Op::kGreater:
      *result = left > right ? 1 : 0;
      return true;
    case Op::kGreaterOrEqual:
      *result = left >= right ? 1 : 0;
      return true;
    case Op::kAnd:
      *result = left != 0 && right != 0 ? 1 : 0;
      return true;
    case Op::kOr:
      *result = left != 0 || right != 0 ? 1 : 0;
      return true;
    case Op::kNumber:
    case Op::kSize:
    case Op::kNot:
      break;
  }
  return false;
}

std::string Guard::sizes(const std::vector<TensorSpec>& specs, const aot_view* inputs) const {
  std::string text;
  for (const Place& place : places_) {
    text += concat({text.empty() ? "" : " and ", "dim ", place.dim, " of \"", specs[place.input].name, "\" is ",
                    inputs[place.input].shape[place.dim]});
  }
  return text;
}

}  // namespace aot
