// SPDX-License-Identifier: Apache-2.0
#include "base/libc_version.h"

#include <cstdlib>

// Any header of a glibc defines this.
#if defined(__GLIBC__)
#include <gnu/libc-version.h>
#endif

namespace aot {

std::string libc_version() {
#if defined(__GLIBC__)
  return gnu_get_libc_version();
#else
  return "";
#endif
}

bool is_older(const std::string& left, const std::string& right) {
  const char* lefts = left.c_str();
  const char* rights = right.c_str();
  const auto next = [](const char*& text) {
    char* end = nullptr;
    const long number = std::strtol(text, &end, 10);
    text = *end == '.' ? end + 1 : end;
    return number;
  };
  while (*rights >= '0' && *rights <= '9') {
    const long a = next(lefts);  // 0 where the version has ended
    const long b = next(rights);
    if (a != b) return a < b;
  }
  return false;
}

}  // namespace aot
