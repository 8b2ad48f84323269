// SPDX-License-Identifier: Apache-2.0
#include "zip_writer.h"

namespace check {

void ZipWriter::put(std::vector<uint8_t>& out, uint64_t value, int bytes) const {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void ZipWriter::add(const ZipEntry& entry) {
  const uint64_t offset = file_.size() + static_cast<uint64_t>(entry.offset_error);
  const uint64_t size = entry.body.size() + static_cast<uint64_t>(entry.size_error);
  put(file_, 0x04034b50, 4);
  put(file_, 20, 2);
  put(file_, entry.flags, 2);
  put(file_, entry.method, 2);
  put(file_, 0, 4);
  put(file_, entry.crc32, 4);
  put(file_, size, 4);
  put(file_, size, 4);
  put(file_, entry.name.size(), 2);
  put(file_, 0, 2);
  file_.insert(file_.end(), entry.name.begin(), entry.name.end());
  file_.insert(file_.end(), entry.body.begin(), entry.body.end());

  put(directory_, 0x02014b50, 4);
  put(directory_, 20, 2);
  put(directory_, 20, 2);
  put(directory_, entry.flags, 2);
  put(directory_, entry.method, 2);
  put(directory_, 0, 4);
  put(directory_, entry.crc32, 4);
  put(directory_, entry.is_zip64 ? 0xffffffff : size, 4);
  put(directory_, entry.is_zip64 ? 0xffffffff : size, 4);
  put(directory_, entry.name.size(), 2);
  put(directory_, entry.is_zip64 ? 28 : 0, 2);
  put(directory_, 0, 2);
  put(directory_, 0, 2);
  put(directory_, 0, 2);
  put(directory_, 0, 4);
  put(directory_, entry.is_zip64 ? 0xffffffff : offset, 4);
  directory_.insert(directory_.end(), entry.name.begin(), entry.name.end());
  if (entry.is_zip64) {
    put(directory_, 1, 2);
    put(directory_, 24, 2);
    put(directory_, size, 8);
    put(directory_, size, 8);
    put(directory_, offset, 8);
  }
  ++count_;
}

std::vector<uint8_t> ZipWriter::finish(const std::string& comment) {
  const uint64_t start = file_.size();
  const uint64_t entries = claimed_entries != 0 ? claimed_entries : count_;
  file_.insert(file_.end(), directory_.begin(), directory_.end());
  if (is_zip64) {
    const uint64_t end64 = file_.size();
    put(file_, 0x06064b50, 4);
    put(file_, 44, 8);
    put(file_, 45, 2);
    put(file_, 45, 2);
    put(file_, 0, 4);
    put(file_, 0, 4);
    put(file_, entries, 8);
    put(file_, entries, 8);
    put(file_, directory_.size(), 8);
    put(file_, start, 8);
    put(file_, 0x07064b50, 4);
    put(file_, 0, 4);
    put(file_, end64, 8);
    put(file_, 1, 4);
  }
  put(file_, 0x06054b50, 4);
  put(file_, 0, 2);
  put(file_, 0, 2);
  put(file_, is_zip64 ? 0xffff : entries, 2);
  put(file_, is_zip64 ? 0xffff : entries, 2);
  put(file_, is_zip64 ? 0xffffffff : directory_.size(), 4);
  put(file_, is_zip64 ? 0xffffffff : start, 4);
  put(file_, comment.size(), 2);
  file_.insert(file_.end(), comment.begin(), comment.end());
  return file_;
}

}  // namespace check
