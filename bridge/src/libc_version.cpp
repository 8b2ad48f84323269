// SPDX-License-Identifier: Apache-2.0
#include "libc_version.h"

#include <sstream>

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
  std::istringstream lefts(left);
  std::istringstream rights(right);
  int a = 0;
  int b = 0;
  char dot = '.';
  while (rights >> b) {
    if (!(lefts >> a)) a = 0;
    if (a != b) return a < b;
    lefts >> dot;
    rights >> dot;
  }
  return false;
}

}  // namespace aot
