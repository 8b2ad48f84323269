// SPDX-License-Identifier: Apache-2.0
#include "model/assets.h"

#include <sys/stat.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace aot {
namespace {

/// Whether each part of the name is one of a file or folder below, and none hidden.
bool stays_inside(std::string_view name) {
  while (true) {
    const size_t end = name.find('/');
    const std::string_view part = name.substr(0, end);
    if (part.empty() || part.front() == '.') return false;
    if (end == std::string_view::npos) return true;
    name.remove_prefix(end + 1);
  }
}

[[noreturn]] void refuse(const std::string& name, const std::string& path, const char* meaning) {
  throw usage_error({"no asset \"", name, "\" travels with ", path}, {meaning},
                    {"Build the bundle with --asset ", stays_inside(name) ? name : "NAME", "=FILE."});
}

}  // namespace

Assets::Assets(const std::string& path) : path_(path) {}

const MappedFile& Assets::find(const std::string& name) const {
  if (!stays_inside(name)) refuse(name, path_, "A name is relative to the bundle's folder of assets and stays in it.");
  const std::scoped_lock lock(mutex_);
  const auto known = mapped_.find(name);
  if (known != mapped_.end()) return known->second;
  struct stat status {};
  if (stat(path_.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    refuse(name, path_, "It is a package by itself; assets belong to a bundle.");
  }
  const std::string file = path_ + "/../../assets/" + name;
  if (stat(file.c_str(), &status) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) throw file_error(file, errno);
    refuse(name, path_, "The bundle was built without it.");
  }
  if (S_ISDIR(status.st_mode)) refuse(name, path_, "It is a folder; each file in it has a name of its own.");
  return mapped_.emplace(name, MappedFile(file)).first->second;
}

}  // namespace aot
