// SPDX-License-Identifier: Apache-2.0
// Test cases that register themselves, and checks that say what they saw.
#pragma once

#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"

namespace check {

struct Case {
  const char* name;
  void (*body)();
};

std::vector<Case>& cases();

struct Failure {
  std::string text;
};

[[noreturn]] inline void fail(const char* file, int line, const std::string& text) {
  throw Failure{std::string(file) + ':' + std::to_string(line) + ": " + text};
}

template <class Left, class Right>
void equal(const char* file, int line, const char* expression, const Left& left, const Right& right) {
  if (left == right) return;
  std::ostringstream text;
  text << expression << " is " << left << ", expected " << right;
  fail(file, line, text.str());
}

/// Expects an aot::Error of this status whose message has three lines and contains `part`.
void throws(const char* file, int line, aot_status status, const std::string& part, const std::function<void()>& body);

}  // namespace check

#define TEST(name)                                                                          \
  static void name();                                                                       \
  static const bool name##_is_registered = (check::cases().push_back({#name, name}), true); \
  static void name()
#define CHECK(condition) \
  if (!(condition)) check::fail(__FILE__, __LINE__, #condition)
#define CHECK_EQUAL(left, right) check::equal(__FILE__, __LINE__, #left, left, right)
#define CHECK_THROWS(status, part, ...) check::throws(__FILE__, __LINE__, status, part, [&] { __VA_ARGS__; })
