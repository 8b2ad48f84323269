// SPDX-License-Identifier: Apache-2.0
#include "package/assets.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <string_view>

#include "base/error.h"
#include "base/single_file.h"

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

/// The bundle of a model's folder, BUNDLE/models/NAME. A bundle that is one file has no folders to go up in.
std::string bundle_of(std::string path) {
  if (!is_below_a_file(path)) return path + "/../..";
  for (int level = 0; level < 2; ++level) {
    path.erase(path.find_last_not_of('/') + 1);
    path.erase(path.find_last_of('/') + 1);
  }
  path.erase(path.find_last_not_of('/') + 1);
  return path;
}

/// The path as it is from every folder: the process may go to another one before it asks for an asset.
std::string absolute(const std::string& path) {
  std::array<char, PATH_MAX> folder;
  if (path.empty() || path.front() == '/' || getcwd(folder.data(), folder.size()) == nullptr) return path;
  return std::string(folder.data()) + "/" + path;
}

}  // namespace

Assets::Assets(const std::string& path) : path_(absolute(path)) {}

const MappedFile& Assets::find(const std::string& name) const {
  if (!stays_inside(name)) refuse(name, path_, "A name is relative to the bundle's folder of assets and stays in it.");
  const std::scoped_lock lock(mutex_);
  const auto known = mapped_.find(name);
  if (known != mapped_.end()) return known->second;
  if (!exists(path_)) refuse(name, path_, "The bundle is no longer where it was loaded from.");
  if (!is_folder(path_)) refuse(name, path_, "It is a package by itself; assets belong to a bundle.");
  const std::string file = bundle_of(path_) + "/assets/" + name;
  if (!exists(file)) refuse(name, path_, "The bundle was built without it.");
  if (is_folder(file)) refuse(name, path_, "It is a folder; each file in it has a name of its own.");
  return mapped_.emplace(name, MappedFile(file)).first->second;
}

}  // namespace aot
