// SPDX-License-Identifier: Apache-2.0
// The zip files that torch writes: entries stored as they are, so that they can be mapped. Whatever is in the file,
// reading stays within it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace aot {

/// One stored file. `data` points into the archive's memory.
struct Entry {
  std::string name;
  uint8_t* data;
  size_t size;
  uint32_t crc32;
};

class Archive {
 public:
  /// Reads the directory of the zip file in memory; `where` names it in errors. Throws AOT_DAMAGED for what is no zip
  /// file, is truncated, or holds what torch never writes: compressed or encrypted entries, entries that share bytes,
  /// names twice, absolute names, names with "..".
  Archive(uint8_t* data, size_t size, const std::string& where);

  const std::vector<Entry>& entries() const { return entries_; }

  /// Null when there is no such entry.
  const Entry* find(std::string_view name) const;

 private:
  std::vector<Entry> entries_;
};

/// Throws AOT_DAMAGED when the bytes of an entry are not those that were stored.
void check_integrity(const Entry& entry, const std::string& where);

}  // namespace aot
