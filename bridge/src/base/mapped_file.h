// SPDX-License-Identifier: Apache-2.0
// Files in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace aot {

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
