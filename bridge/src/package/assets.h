// SPDX-License-Identifier: Apache-2.0
// Files that travel with the models of a bundle: BUNDLE/assets, mapped when they are first asked for.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "base/mapped_file.h"

namespace aot {

class Assets {
 public:
  /// Of the model at `path`: a folder BUNDLE/models/NAME. A .pt2 archive has none.
  explicit Assets(const std::string& path);

  /// The file of that name, which stays mapped as long as this object. Throws AOT_USAGE when there is none of it, or
  /// when the name leads elsewhere.
  const MappedFile& find(const std::string& name) const;

 private:
  std::string path_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, MappedFile> mapped_;
};

}  // namespace aot
