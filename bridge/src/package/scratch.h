// SPDX-License-Identifier: Apache-2.0
// Parts of an archive that must have a path: in memory where the system allows it, else in a private folder that goes
// away.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/file.h"

namespace aot {

/// A private folder in $TMPDIR, made when first needed, removed with everything in it.
class ScratchFolder {
 public:
  ScratchFolder() = default;
  ScratchFolder(ScratchFolder&& other) noexcept;
  ScratchFolder& operator=(ScratchFolder&& other) noexcept;
  ~ScratchFolder() { remove(); }

  /// Writes a file, whose name must be a plain one; returns its path. Throws AOT_FAILED when there is no space or no
  /// permission.
  std::string write(const std::string& name, const uint8_t* data, size_t size);

  /// Makes a symbolic link; returns its path.
  std::string link(const std::string& name, const std::string& target);

  void remove() noexcept;

 private:
  std::string path_of_new(const std::string& name);

  std::string path_;
};

/// The bytes as a file in memory. Closed when the kernel does not offer that, or when it cannot be named (no /proc).
File file_in_memory(const char* name, const uint8_t* data, size_t size);

/// The path by which this process can open its own descriptor.
std::string path_of(const File& file);

}  // namespace aot
