// SPDX-License-Identifier: Apache-2.0
#include "package/json.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/text.h"

namespace aot {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Bytes of the UTF-8 sequence that `text` starts with; 0 when it is none (Unicode 15, table 3-7).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto within = [&](size_t i, unsigned low, unsigned high) { return byte(i) >= low && byte(i) <= high; };
  const auto follows = [&](size_t i) { return within(i, 0x80, 0xbf); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (within(0, 0xc2, 0xdf)) return follows(1) ? 2 : 0;
  if (within(0, 0xe0, 0xef)) {
    return within(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) && follows(2) ? 3 : 0;
  }
  if (within(0, 0xf0, 0xf4)) {
    return within(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

void append_utf8(uint32_t code, std::string* text) {
  const auto put = [&](uint32_t byte) { *text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
    return;
  }
  if (code < 0x800) {
    put(0xc0 | code >> 6U);
  } else {
    if (code < 0x10000) {
      put(0xe0 | code >> 12U);
    } else {
      put(0xf0 | code >> 18U);
      put(0x80 | (code >> 12U & 0x3fU));
    }
    put(0x80 | (code >> 6U & 0x3fU));
  }
  put(0x80 | (code & 0x3fU));
}

}  // namespace

/// Reads one document, from the first character to the last (RFC 8259).
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  Json document() {
    Json value;
    read(&value, 0);
    skip_space();
    if (position_ != text_.size()) fail("something follows the value");
    return value;
  }

 private:
  static constexpr int kMaxDepth = 32;

  [[noreturn]] void fail(const char* what) const { throw JsonError(concat({what, " at byte ", position_})); }

  /// The next character; 0, which is part of no token, at the end.
  char peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }

  bool take(char wanted) {
    if (position_ == text_.size() || text_[position_] != wanted) return false;
    ++position_;
    return true;
  }

  void require(char wanted, const char* what) {
    if (!take(wanted)) fail(what);
  }

  void skip_space() {
    while (peek() == ' ' || peek() == '\n' || peek() == '\r' || peek() == '\t') ++position_;
  }

  void read(Json* value, int depth) {
    if (depth > kMaxDepth) fail("values are nested too deep");
    skip_space();
    switch (peek()) {
      case '{':
        return read_object(value, depth);
      case '[':
        return read_array(value, depth);
      case '"':
        value->kind_ = Json::Kind::Text;
        return read_text(&value->text_);
      case 't':
        return read_word("true", value, Json::Kind::Boolean, 1);
      case 'f':
        return read_word("false", value, Json::Kind::Boolean, 0);
      case 'n':
        return read_word("null", value, Json::Kind::Null, 0);
      default:
        return read_number(value);
    }
  }

  void read_word(std::string_view word, Json* value, Json::Kind kind, int64_t integer) {
    if (text_.substr(position_, word.size()) != word) fail("no value");
    position_ += word.size();
    value->kind_ = kind;
    value->integer_ = integer;
  }

  void read_object(Json* value, int depth) {
    value->kind_ = Json::Kind::Object;
    ++position_;
    skip_space();
    if (take('}')) return;
    do {
      Json::Member& member = value->members_.emplace_back();
      skip_space();
      if (peek() != '"') fail("no name of a member");
      read_text(&member.first);
      skip_space();
      require(':', "no colon");
      read(&member.second, depth + 1);
      skip_space();
    } while (take(','));
    require('}', "no end of an object");
  }

  void read_array(Json* value, int depth) {
    value->kind_ = Json::Kind::Array;
    ++position_;
    skip_space();
    if (take(']')) return;
    do {
      read(&value->items_.emplace_back(), depth + 1);
      skip_space();
    } while (take(','));
    require(']', "no end of an array");
  }

  void read_text(std::string* text) {
    ++position_;
    while (!take('"')) {
      if (position_ == text_.size()) fail("no end of a string");
      if (take('\\')) {
        read_escape(text);
        continue;
      }
      if (static_cast<unsigned char>(text_[position_]) < 0x20) fail("a control character in a string");
      const size_t length = utf8_length(text_.substr(position_));
      if (length == 0) fail("no UTF-8");
      text->append(text_, position_, length);
      position_ += length;
    }
  }

  void read_escape(std::string* text) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (take('u')) {
      append_utf8(read_code_point(), text);
      return;
    }
    const size_t found = position_ < text_.size() ? kNames.find(text_[position_]) : std::string_view::npos;
    if (found == std::string_view::npos) fail("an unknown escape");
    *text += kMeanings[found];
    ++position_;
  }

  /// What follows `\u`: four digits, or two times four where UTF-16 needs two units.
  uint32_t read_code_point() {
    const uint32_t unit = read_hex();
    if (unit < 0xd800 || unit > 0xdfff) return unit;
    if (unit > 0xdbff || !take('\\') || !take('u')) fail("half a character");
    const uint32_t second = read_hex();
    if (second < 0xdc00 || second > 0xdfff) fail("half a character");
    return 0x10000 + ((unit - 0xd800) << 10U) + (second - 0xdc00);
  }

  uint32_t read_hex() {
    constexpr std::string_view kDigits = "0123456789abcdef";
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = peek();
      const size_t digit = kDigits.find(c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c);
      if (digit == std::string_view::npos) fail("no four hexadecimal digits");
      value = value << 4U | static_cast<uint32_t>(digit);
      ++position_;
    }
    return value;
  }

  void read_number(Json* value) {
    const size_t start = position_;
    take('-');
    if (!take('0')) read_digits();
    bool is_whole = true;
    if (take('.')) {
      is_whole = false;
      read_digits();
    }
    if (take('e') || take('E')) {
      is_whole = false;
      if (!take('+')) take('-');
      read_digits();
    }
    const std::string number(text_.substr(start, position_ - start));
    errno = 0;
    value->integer_ = std::strtoll(number.c_str(), nullptr, 10);
    value->kind_ = is_whole && errno == 0 ? Json::Kind::Integer : Json::Kind::Real;
  }

  void read_digits() {
    if (!is_digit(peek())) fail("no value");
    while (is_digit(peek())) ++position_;
  }

  std::string_view text_;
  size_t position_ = 0;
};

Json Json::parse(std::string_view text) { return JsonReader(text).document(); }

const Json& Json::expect(Kind kind, const char* name) const {
  if (kind_ != kind) throw JsonError(concat({"a value that should be ", name, " is not"}));
  return *this;
}

bool Json::boolean() const { return expect(Kind::Boolean, "true or false").integer_ != 0; }

int64_t Json::integer() const { return expect(Kind::Integer, "a whole number").integer_; }

const std::string& Json::text() const { return expect(Kind::Text, "a string").text_; }

const std::vector<Json>& Json::items() const { return expect(Kind::Array, "an array").items_; }

std::vector<std::string> Json::texts() const {
  std::vector<std::string> result;
  for (const Json& item : items()) result.push_back(item.text());
  return result;
}

const Json* Json::find(std::string_view key) const {
  for (const Member& member : expect(Kind::Object, "an object").members_) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

const Json& Json::at(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) throw JsonError(concat({"there is no \"", key, "\""}));
  return *value;
}

std::string from_hex(std::string_view text) {
  const auto digit = [](char c) -> uint32_t {
    if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<uint32_t>(c - 'a' + 10);
    throw JsonError("a layout is not hexadecimal");
  };
  if (text.size() % 2 != 0) throw JsonError("a layout is cut off");
  std::string bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(digit(text[i]) << 4 | digit(text[i + 1])));
  }
  return bytes;
}

std::string json_quote(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      quoted += escape;
    } else {
      quoted += c;
    }
  }
  quoted += '"';
  return quoted;
}

std::string json_quote(const std::vector<std::string>& texts) {
  std::string quoted = "[";
  for (const std::string& text : texts) quoted.append(quoted.size() > 1 ? ", " : "").append(json_quote(text));
  quoted += ']';
  return quoted;
}

}  // namespace aot
