// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

namespace aot {

void Piece::append_to(std::string* text) const {
  switch (kind_) {
    case Kind::Text:
      text->append(text_, value_);
      return;
    case Kind::Signed:
      text->append(std::to_string(static_cast<int64_t>(value_)));
      return;
    case Kind::Unsigned:
      text->append(std::to_string(value_));
      return;
  }
}

std::string concat(Pieces pieces) {
  std::string text;
  for (const Piece& piece : pieces) piece.append_to(&text);
  return text;
}

std::string join(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& text : texts) joined.append(joined.empty() ? "" : ", ").append(text);
  return joined;
}

std::string list(const int64_t* values, int32_t count) {
  std::string text = "[";
  for (int32_t i = 0; i < count; ++i) text += concat({i > 0 ? ", " : "", values[i]});
  text += ']';
  return text;
}

std::string to_hex(std::string_view bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char byte : bytes) {
    const auto value = static_cast<uint8_t>(byte);
    text += "0123456789abcdef"[value >> 4U];
    text += "0123456789abcdef"[value & 15U];
  }
  return text;
}

uint64_t fnv1a(std::string_view bytes, uint64_t before) {
  for (const char c : bytes) before = (before ^ static_cast<uint8_t>(c)) * 0x100000001b3U;
  return before;
}

std::string fingerprint(std::string_view text) {
  const uint64_t hash = fnv1a(text);
  std::string bytes;
  for (unsigned shift = 64; shift > 0; shift -= 8) bytes += static_cast<char>(hash >> (shift - 8) & 0xffU);
  return to_hex(bytes);
}

}  // namespace aot
