// SPDX-License-Identifier: Apache-2.0
// JSON values, as much as model descriptions need. Read here and not by a library (CMakeLists.txt, "compile time").
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace aot {

/// The text is not JSON, or a value is not what was expected there.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Json {
 public:
  enum class Kind { Null, Boolean, Integer, Real, Text, Array, Object };
  using Member = std::pair<std::string, Json>;

  /// Throws JsonError. Refuses values nested deeper than any description is.
  static Json parse(std::string_view text);

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::Null; }

  /// Each throws JsonError when the value is of another kind.
  bool boolean() const;
  int64_t integer() const;
  const std::string& text() const;
  const std::vector<Json>& items() const;
  std::vector<std::string> texts() const;

  /// A member of an object: null when absent, and JsonError when the value is no object; at() throws for both.
  const Json* find(std::string_view key) const;
  const Json& at(std::string_view key) const;

 private:
  friend class JsonReader;

  const Json& expect(Kind kind, const char* name) const;

  Kind kind_ = Kind::Null;
  int64_t integer_ = 0;
  std::string text_;
  std::vector<Json> items_;
  std::vector<Member> members_;
};

/// Bytes from hexadecimal. Throws JsonError.
std::string from_hex(std::string_view text);

/// `text` as a JSON string, quotes included. Bytes that are not ASCII pass through.
std::string json_quote(std::string_view text);

/// A JSON array of strings.
std::string json_quote(const std::vector<std::string>& texts);

}  // namespace aot
