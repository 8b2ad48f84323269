// SPDX-License-Identifier: Apache-2.0
#include "package/guard.h"

#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "model/signature.h"
#include "package/json.h"
#include "package/metadata.h"

namespace {

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();

aot::TensorSpec spec_of(const std::string& name, const std::vector<aot::Dim>& dims) {
  return {name, aot::Dtype::Float32, dims};
}

aot_view view_of(std::vector<int64_t>& shape) {
  return {nullptr, {AOT_DEVICE_CPU, 0}, static_cast<int32_t>(shape.size()), {AOT_FLOAT, 32, 1}, shape.data(), nullptr,
          0};
}

aot::Guard guard_of(const std::string& that, const std::vector<aot::TensorSpec>& specs) {
  return {aot::Json::parse("{\"that\": " + that + ", \"text\": \"it\"}"), specs};
}

/// The cases that the exporter's evaluator is held to as well.
TEST(guards_have_the_values_of_the_table) {
  std::ifstream file(AOT_TEST_DATA "/guard_cases.json");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::vector<std::string> symbols = {"a", "b", "c"};
  std::vector<aot::Dim> dims;
  dims.reserve(symbols.size());
  for (const std::string& symbol : symbols) dims.push_back({0, kUnbounded, symbol});
  const std::vector<aot::TensorSpec> specs = {spec_of("x", dims)};
  const aot::Json cases = aot::Json::parse(text);
  CHECK(cases.items().size() > 20);
  for (const aot::Json& entry : cases.items()) {
    std::vector<int64_t> shape;
    for (const std::string& symbol : symbols) {
      const aot::Json* size = entry.at("sizes").find(symbol);
      shape.push_back(size == nullptr ? 0 : size->integer());
    }
    const aot_view view = view_of(shape);
    const aot::Guard guard(aot::Json::parse("{\"that\": [\"or\", 0, 0], \"text\": \"\"}"), specs);
    CHECK(!guard.holds(&view));
    const aot::Json& value = entry.at("value");
    const std::string what = entry.at("text").text();
    const aot::Guard tested(entry, specs);
    CHECK_EQUAL(what + (tested.holds(&view) ? ": holds" : ": does not"),
                what + (!value.is_null() && value.integer() != 0 ? ": holds" : ": does not"));
  }
}

TEST(a_guard_tells_the_sizes_that_it_is_about) {
  const std::vector<aot::TensorSpec> specs = {spec_of("x", {{4, 4, ""}, {0, 64, "2*n + 1", "n", 2, 1}}),
                                              spec_of("y", {{0, 64, "rows"}})};
  const aot::Guard guard(aot::Json::parse(R"({"that": ["==", ["+", "n", "n"], "rows"], "text": "2 * n == rows"})"),
                         specs);
  std::vector<int64_t> first = {4, 11};
  std::vector<int64_t> second = {10};
  std::vector<aot_view> views = {view_of(first), view_of(second)};
  aot::check_guards({guard}, specs, views.data());
  std::vector<int64_t> other = {9};
  views[1] = view_of(other);
  CHECK_THROWS(AOT_USAGE, "dim 1 of \"x\" is 11 and dim 0 of \"y\" is 9",
               aot::check_guards({guard}, specs, views.data()));
  CHECK_THROWS(AOT_USAGE, "sizes where 2 * n == rows.", aot::check_guards({guard}, specs, views.data()));
}

TEST(what_is_no_guard_is_refused) {
  const std::vector<aot::TensorSpec> specs = {spec_of("x", {{0, 64, "a"}, {3, 3, ""}})};
  std::string deep = "\"a\"";
  for (int i = 0; i < 24; ++i) deep.insert(0, "[\"+\", 1, ").append("]");
  for (const std::string& that :
       {std::string("[]"), std::string(R"(["^", "a", 1])"), std::string(R"(["==", "a"])"),
        std::string(R"(["-", "a", 1, 2])"), std::string(R"(["not", "a", 1])"), std::string(R"(["==", "b", 1])"),
        std::string(R"(["==", "", 1])"), std::string("null"), std::string("1.5"), std::string("[1, 2]"), deep}) {
    bool refused = false;
    try {
      guard_of(that, specs);
    } catch (const aot::JsonError&) {
      refused = true;
    }
    CHECK_EQUAL(that + (refused ? " is refused" : " passes"), that + " is refused");
  }
}

TEST(metadata_of_every_schema_is_read) {
  const std::string inputs =
      R"("inputs": [{"name": "x", "dtype": "float32", "dims": [{"symbol": "a"}]}], "outputs": [])";
  CHECK(aot::parse_metadata("{\"schema\": 1, " + inputs + "}", "m").guards.empty());
  CHECK(aot::parse_metadata("{\"schema\": 2, " + inputs + "}", "m").guards.empty());
  const std::string guards = R"(, "guards": [{"that": ["==", ["%", "a", 6], 0], "text": "a is a multiple of 6"}])";
  CHECK_EQUAL(aot::parse_metadata("{\"schema\": 3, " + inputs + guards + "}", "m").guards.size(), size_t{1});
  CHECK_THROWS(AOT_DAMAGED, "which no input has",
               aot::parse_metadata(R"({"schema": 3, "inputs": [], "outputs": [])" + guards + "}", "m"));
  CHECK_EQUAL(aot::parse_metadata("{\"schema\": 4, " + inputs + guards + "}", "m").guards.size(), size_t{1});
  CHECK_THROWS(AOT_MODEL_MISMATCH, "schema 5", aot::parse_metadata("{\"schema\": 5, " + inputs + "}", "m"));
}

}  // namespace
