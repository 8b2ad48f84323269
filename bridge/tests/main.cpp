// SPDX-License-Identifier: Apache-2.0
// Runs all cases, or those whose names contain the first argument. Exit code 1 when one fails.
#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "check.h"

std::vector<check::Case>& check::cases() {
  static std::vector<Case> all;
  return all;
}

void check::throws(const char* file, int line, aot_status status, const std::string& part,
                   const std::function<void()>& body) {
  try {
    body();
  } catch (const aot::Error& error) {
    const std::string message = error.what();
    if (error.status() != status) fail(file, line, "status " + std::to_string(error.status()) + ": " + message);
    if (message.find(part) == std::string::npos) fail(file, line, "no \"" + part + "\" in: " + message);
    if (std::count(message.begin(), message.end(), '\n') != 2) fail(file, line, "not three lines: " + message);
    return;
  }
  fail(file, line, "nothing was thrown, expected \"" + part + '"');
}

int main(int argc, char** argv) {
  int failures = 0;
  int runs = 0;
  for (const check::Case& test : check::cases()) {
    if (argc > 1 && std::strstr(test.name, argv[1]) == nullptr) continue;
    ++runs;
    try {
      test.body();
    } catch (const check::Failure& failure) {
      ++failures;
      std::cerr << "FAILED " << test.name << ": " << failure.text << '\n';
    } catch (const std::exception& error) {
      ++failures;
      std::cerr << "FAILED " << test.name << ": " << error.what() << '\n';
    }
  }
  std::cout << runs << " cases, " << failures << " failed\n";
  return failures == 0 && runs > 0 ? 0 : 1;
}
