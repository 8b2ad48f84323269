// SPDX-License-Identifier: Apache-2.0
#include "json.h"

#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

namespace aot {

/// Receives the parser's events (nlohmann::json_sax) and grows a tree of values.
class JsonBuilder {
 public:
  Json take() { return std::move(root_); }
  const std::string& error() const { return error_; }

  bool null() { return leaf(Json::Kind::Null); }
  bool boolean(bool value) { return leaf(Json::Kind::Boolean, value ? 1 : 0); }
  bool number_integer(int64_t value) { return leaf(Json::Kind::Integer, value); }
  bool number_unsigned(uint64_t value) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return leaf(Json::Kind::Real);
    return leaf(Json::Kind::Integer, static_cast<int64_t>(value));
  }
  bool number_float(double /*value*/, const std::string& /*text*/) { return leaf(Json::Kind::Real); }
  bool string(std::string& value) {
    add(Json::Kind::Text).text_ = std::move(value);
    return true;
  }
  bool binary(std::vector<uint8_t>& /*value*/) { return false; }
  bool start_object(size_t /*size*/) { return open(Json::Kind::Object); }
  bool start_array(size_t /*size*/) { return open(Json::Kind::Array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& value) {
    key_ = std::move(value);
    return true;
  }
  bool parse_error(size_t /*position*/, const std::string& /*token*/, const nlohmann::detail::exception& error) {
    error_ = error.what();
    return false;
  }

 private:
  static constexpr size_t kMaxDepth = 32;

  Json& add(Json::Kind kind) {
    Json* value = &root_;
    if (!open_.empty() && open_.back()->kind_ == Json::Kind::Array) {
      value = &open_.back()->items_.emplace_back();
    } else if (!open_.empty()) {
      value = &open_.back()->members_.emplace_back(std::move(key_), Json()).second;
    }
    value->kind_ = kind;
    return *value;
  }

  bool leaf(Json::Kind kind, int64_t integer = 0) {
    add(kind).integer_ = integer;
    return true;
  }

  // Only the innermost open value grows, so pointers to the outer ones stay valid.
  bool open(Json::Kind kind) {
    if (open_.size() == kMaxDepth) {
      error_ = "values are nested deeper than " + std::to_string(kMaxDepth);
      return false;
    }
    open_.push_back(&add(kind));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::string key_;
  std::string error_;
  std::vector<Json*> open_;
};

Json Json::parse(std::string_view text) {
  JsonBuilder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    throw JsonError(builder.error().empty() ? "it is not JSON" : builder.error());
  }
  return builder.take();
}

const Json& Json::expect(Kind kind, const char* name) const {
  if (kind_ != kind) throw JsonError(std::string("a value that should be ") + name + " is not");
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
  if (value == nullptr) throw JsonError("there is no \"" + std::string(key) + '"');
  return *value;
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
  return quoted + '"';
}

std::string json_quote(const std::vector<std::string>& texts) {
  std::string quoted = "[";
  for (const std::string& text : texts) quoted += (quoted.size() > 1 ? ", " : "") + json_quote(text);
  return quoted + ']';
}

}  // namespace aot
