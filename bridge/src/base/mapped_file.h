// SPDX-License-Identifier: Apache-2.0
// Owned file descriptors and memory mappings.
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

/// Writes at the descriptor's place. False, with errno set, when not all bytes could be written.
bool write_all(const File& file, const uint8_t* data, size_t size);

/// Whether there is a file or folder; also in a bundle that is one file, whose parts have paths (base/single_file.h).
bool exists(const std::string& path);

/// A whole file in memory, read when touched. Writable for the process alone: the file itself never changes. A part of
/// a bundle that is one file is mapped from where it lies in that.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t before_ = 0;  // bytes mapped in front of `data_`
};

}  // namespace aot
