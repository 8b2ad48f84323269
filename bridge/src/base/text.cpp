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

}  // namespace aot
