// SPDX-License-Identifier: Apache-2.0
// What std::string_view gets in C++20, and messages put together from pieces: `concat({"dim ", index, " of ", name})`.
// A sum of strings would say the same, and make the compiler write out a temporary string, with its end, for each sign
// (CMakeLists.txt, "compile time").
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace aot {

/// Text that is somebody else's, or a whole number.
class Piece {
 public:
  // NOLINTBEGIN(google-explicit-constructor): a piece is what it is made from.
  Piece(const char* text) : Piece(std::string_view(text)) {}
  Piece(const std::string& text) : text_(text.data()), value_(text.size()) {}
  Piece(std::string_view text) : text_(text.data()), value_(text.size()) {}
  Piece(int number) : Piece(int64_t{number}) {}
  Piece(unsigned number) : Piece(uint64_t{number}) {}
  Piece(int64_t number) : kind_(Kind::Signed), value_(static_cast<uint64_t>(number)) {}
  Piece(uint64_t number) : kind_(Kind::Unsigned), value_(number) {}
  Piece(std::nullptr_t) = delete;
  Piece(char) = delete;  // would be its code
  Piece(bool) = delete;
  // NOLINTEND(google-explicit-constructor)

  void append_to(std::string* text) const;

 private:
  enum class Kind { Text, Signed, Unsigned };

  Kind kind_ = Kind::Text;
  const char* text_ = nullptr;
  uint64_t value_;  // the number, or the size of the text
};

/// Lives as long as the expression it is part of.
using Pieces = std::initializer_list<Piece>;

std::string concat(Pieces pieces);

constexpr bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

constexpr bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// "a, b, c"
std::string join(const std::vector<std::string>& texts);

/// "[2, 3]"
std::string list(const int64_t* values, int32_t count);

/// Two digits for each byte.
std::string to_hex(std::string_view bytes);

/// FNV-1a of the bytes behind those that gave `before`; differs where they do, but for a chance of one in 2^64. No
/// proof against an attacker.
uint64_t fnv1a(std::string_view bytes, uint64_t before = 0xcbf29ce484222325U);

/// Its 16 digits.
std::string fingerprint(std::string_view text);

}  // namespace aot
