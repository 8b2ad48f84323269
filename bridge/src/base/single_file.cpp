// SPDX-License-Identifier: Apache-2.0
#include "base/single_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace aot {
namespace {

/// As toolchain/aotpack_doctor/base/single_file.py has them.
constexpr size_t kIndexAt = 65536;
constexpr std::string_view kMark = "aotpack-file 1 ";
constexpr size_t kNumber = 20;
constexpr size_t kHeadSize = kMark.size() + kNumber + 1 + kNumber + 1 + 64 + 1;
constexpr int kMostLinks = 40;

Error broken(const std::string& file) {
  return damaged_error({file, " has an index that cannot be read"}, {"The file was truncated or changed."});
}

size_t number(std::string_view text, const std::string& file) {
  size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) throw broken(file);
  return value;
}

/// The text up to `separator`, which is taken off `rest` with it; all of it where there is none.
std::string_view next(std::string_view* rest, char separator) {
  const size_t end = std::min(rest->find(separator), rest->size());
  const std::string_view word = rest->substr(0, end);
  rest->remove_prefix(std::min(end + 1, rest->size()));
  return word;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) words.push_back(next(&line, '\t'));
  return words;
}

/// The lines of the index; empty when it is no single file.
std::string read_index(const std::string& path) {
  const File file = open_file(path);
  std::string head(kHeadSize, '\0');
  const ssize_t got = pread(file.descriptor(), head.data(), head.size(), kIndexAt);
  if (got < static_cast<ssize_t>(kMark.size()) || head.compare(0, kMark.size(), kMark) != 0) return {};
  const std::string_view numbers = std::string_view(head).substr(kMark.size());
  const size_t end = file_size(file, path);
  const size_t length = number(numbers.substr(kNumber + 1, kNumber), path);
  if (number(numbers.substr(0, kNumber), path) != end || length > end) throw broken(path);
  std::string index(length, '\0');
  if (pread(file.descriptor(), index.data(), length, kIndexAt + kHeadSize) != static_cast<ssize_t>(length)) {
    throw broken(path);
  }
  return index;
}

/// A path without "." and ".." in it.
std::string normal(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::string_view part = next(&path, '/');
    if (part.empty() || part == ".") continue;
    if (part == ".." && !parts.empty()) {
      parts.pop_back();
    } else {
      parts.push_back(part);
    }
  }
  std::string result;
  for (const std::string_view part : parts) result.append(result.empty() ? "" : "/").append(part);
  return result;
}

}  // namespace

std::optional<Inside> find_in_index(std::string_view index, std::string name, const std::string& file) {
  for (int links = 0; links < kMostLinks; ++links) {
    if (name.empty()) return Inside{file, true, 0, 0};
    std::string_view rest = index;
    std::string target;
    while (!rest.empty() && target.empty()) {
      const std::vector<std::string_view> words = words_of(next(&rest, '\n'));
      if (words.empty() || words.back() != name) continue;
      if (words[0] == "file" && words.size() == 5) {
        return Inside{file, false, number(words[2], file), number(words[3], file)};
      }
      if (words[0] == "folder" && words.size() == 2) return Inside{file, true, 0, 0};
      if (words[0] == "link" && words.size() == 3) target = words[1];
    }
    if (target.empty()) return std::nullopt;
    const size_t slash = name.rfind('/');
    if (slash != std::string::npos) target.insert(0, name, 0, slash + 1);
    name = normal(target);
  }
  return std::nullopt;
}

bool is_below_a_file(const std::string& path) { return access(path.c_str(), F_OK) != 0 && errno == ENOTDIR; }

std::optional<Inside> find_inside(const std::string& path) {
  std::string file = path;
  struct stat status {};
  while (stat(file.c_str(), &status) != 0) {
    const size_t slash = file.rfind('/');
    if (slash == std::string::npos || slash == 0) return std::nullopt;
    file.resize(slash);
  }
  if (!S_ISREG(status.st_mode)) return std::nullopt;
  const std::string index = read_index(file);
  if (index.empty()) return std::nullopt;
  return find_in_index(index, normal(std::string_view(path).substr(file.size())), file);
}

bool exists(const std::string& path) {
  if (access(path.c_str(), F_OK) == 0) return true;
  return errno == ENOTDIR && find_inside(path).has_value();
}

bool is_folder(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) return S_ISDIR(status.st_mode);
  const std::optional<Inside> inside = find_inside(path);
  return inside && inside->is_folder;
}

}  // namespace aot
