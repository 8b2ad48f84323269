// SPDX-License-Identifier: Apache-2.0
// Owned file descriptors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace aot {

/// A file descriptor that closes itself.
class File {
 public:
  File() = default;
  explicit File(int descriptor) : descriptor_(descriptor) {}
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  int descriptor() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }

  /// Gives the descriptor away.
  int release();

 private:
  int descriptor_ = -1;
};

/// Opens a regular file for reading. Throws AOT_DAMAGED with the system's reason.
File open_file(const std::string& path);

/// Throws AOT_DAMAGED with the system's reason.
size_t file_size(const File& file, const std::string& path);

/// Writes at the descriptor's place. False, with errno set, when not all bytes could be written.
bool write_all(const File& file, const uint8_t* data, size_t size);

}  // namespace aot
