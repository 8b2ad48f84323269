// SPDX-License-Identifier: Apache-2.0
// Writes zip archives, honest and hostile ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace check {

/// What to write for one entry; the fields that are not given follow from `name` and `body`.
struct ZipEntry {
  std::string name;
  std::string body;
  uint16_t method = 0;
  uint16_t flags = 0;
  uint32_t crc32 = 0;
  bool is_zip64 = false;
  int64_t offset_error = 0;  // added to the offset in the directory
  int64_t size_error = 0;    // added to both sizes in the directory
};

class ZipWriter {
 public:
  void add(const ZipEntry& entry);
  std::vector<uint8_t> finish(const std::string& comment = "");

  bool is_zip64 = false;         // write the zip64 end records
  uint64_t claimed_entries = 0;  // instead of the true count, unless 0

 private:
  void put(std::vector<uint8_t>& out, uint64_t value, int bytes) const;

  std::vector<uint8_t> file_;
  std::vector<uint8_t> directory_;
  uint64_t count_ = 0;
};

}  // namespace check
