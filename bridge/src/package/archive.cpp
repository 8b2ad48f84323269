// SPDX-License-Identifier: Apache-2.0
// Format: PKWARE's APPNOTE.TXT, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14 and 4.3.15 (zip64), 4.3.16
// (end).
#include "package/archive.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace aot {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kDirectoryEntry = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kEnd64Locator = 0x07064b50;
constexpr uint16_t kZip64Extra = 0x0001;
constexpr uint16_t kStored = 0;
constexpr uint16_t kEncrypted = 0x0001;

constexpr size_t kLocalHeaderSize = 30;
constexpr size_t kDirectoryEntrySize = 46;
constexpr size_t kEndSize = 22;
constexpr size_t kEnd64Size = 56;
constexpr size_t kEnd64LocatorSize = 20;
constexpr size_t kLongestComment = 0xffff;

// A .pt2 holds a few files a model; a directory of millions is an attack on memory.
constexpr uint64_t kMostEntries = 100000;

/// A range of the file. Every read is checked against its end.
class Bytes {
 public:
  Bytes(uint8_t* data, uint64_t size, const std::string& where) : data_(data), size_(size), where_(where) {}

  uint64_t size() const { return size_; }
  uint8_t* data() const { return data_; }

  Bytes slice(uint64_t offset, uint64_t size, const char* what) const {
    if (offset > size_ || size > size_ - offset) {
      throw damaged_error({where_, " is truncated: its ", what, " lies outside the file"},
                          {"The package was not copied or downloaded completely."});
    }
    return {data_ + offset, size, where_};
  }

  uint16_t u16(uint64_t offset) const { return static_cast<uint16_t>(read(offset, 2)); }
  uint32_t u32(uint64_t offset) const { return static_cast<uint32_t>(read(offset, 4)); }
  uint64_t u64(uint64_t offset) const { return read(offset, 8); }

 private:
  uint64_t read(uint64_t offset, uint64_t count) const {
    const Bytes bytes = slice(offset, count, "directory");
    uint64_t value = 0;
    for (uint64_t i = count; i > 0; --i) value = (value << 8U) | bytes.data_[i - 1];
    return value;
  }

  uint8_t* data_;
  uint64_t size_;
  const std::string& where_;
};

struct Directory {
  uint64_t offset;
  uint64_t size;
  uint64_t entries;
};

Directory find_directory(const Bytes& file, const std::string& where) {
  const auto no_zip = [&] {
    return damaged_error({where, " is not a zip file, or its end is missing"},
                         {"A .pt2 package is a zip file; its directory is at the end."});
  };
  if (file.size() < kEndSize) throw no_zip();
  const uint64_t last = file.size() - kEndSize;
  const uint64_t first = last > kLongestComment ? last - kLongestComment : 0;
  uint64_t end = last;
  while (file.u32(end) != kEnd || file.u16(end + 20) != last - end) {
    if (end == first) throw no_zip();
    --end;
  }
  Directory directory{file.u32(end + 16), file.u32(end + 12), file.u16(end + 10)};
  const bool is_zip64 = directory.offset == 0xffffffff || directory.size == 0xffffffff || directory.entries == 0xffff;
  if (is_zip64 && end >= kEnd64LocatorSize && file.u32(end - kEnd64LocatorSize) == kEnd64Locator) {
    const Bytes end64 = file.slice(file.u64(end - kEnd64LocatorSize + 8), kEnd64Size, "zip64 directory");
    if (end64.u32(0) != kEnd64) throw no_zip();
    directory = {end64.u64(48), end64.u64(40), end64.u64(32)};
  }
  return directory;
}

/// Sizes and offset of an entry that do not fit into 32 bits are in an extra field, in this order, those that do left
/// out.
void read_zip64(const Bytes& extra, uint64_t* size, uint64_t* stored_size, uint64_t* offset) {
  uint64_t position = 0;
  while (extra.size() - position >= 4) {
    const uint16_t id = extra.u16(position);
    const Bytes field = extra.slice(position + 4, extra.u16(position + 2), "extra field");
    position += 4 + field.size();
    if (id != kZip64Extra) continue;
    uint64_t next = 0;
    for (uint64_t* value : {size, stored_size, offset}) {
      if (*value != 0xffffffff) continue;
      *value = field.u64(next);
      next += 8;
    }
    return;
  }
}

bool is_safe_name(const std::string& name) {
  if (name.empty() || name.front() == '/' || name.find('\0') != std::string::npos ||
      name.find('\\') != std::string::npos) {
    return false;
  }
  size_t start = 0;
  while (start <= name.size()) {
    const size_t slash = std::min(name.find('/', start), name.size());
    const std::string_view part = std::string_view(name).substr(start, slash - start);
    if (part == "..") return false;
    start = slash + 1;
  }
  return true;
}

Error unusual(const std::string& where, const std::string& name, const char* what) {
  return damaged_error({where, ": the entry \"", name, "\" ", what}, {"torch does not write such packages."});
}

/// What an entry, with its header, or the directory takes of the file.
struct Span {
  uint64_t begin;
  uint64_t end;
};

/// Entries that share bytes multiply: a few megabytes of a file become gigabytes of what is written from it.
void refuse_overlap(std::vector<Span> spans, const std::string& where) {
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < spans.size(); ++i) {
    if (spans[i].begin < spans[i - 1].end) {
      throw damaged_error({where, ": what begins at byte ", spans[i].begin, " shares bytes with what is before it"},
                          {"torch does not write such packages."});
    }
  }
}

/// Of CRC-32 as in zip, for eight bytes a step ("slicing by 8"), since a library may hold gigabytes of weights.
struct CrcTables {
  constexpr CrcTables() {
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1U) ^ ((value & 1U) != 0 ? 0xedb88320U : 0U);
      of[0][i] = value;
    }
    for (uint32_t i = 0; i < 256; ++i) {
      for (size_t t = 1; t < 8; ++t) of[t][i] = (of[t - 1][i] >> 8U) ^ of[0][of[t - 1][i] & 0xffU];
    }
  }

  uint32_t of[8][256] = {};
};

}  // namespace

Archive::Archive(uint8_t* data, size_t size, const std::string& where) {
  const Bytes file(data, size, where);
  const Directory directory = find_directory(file, where);
  if (directory.entries > kMostEntries) {
    throw damaged_error({where, " claims to have ", directory.entries, " entries"},
                        {"A package has a few for each model."});
  }
  const Bytes records = file.slice(directory.offset, directory.size, "directory");
  std::vector<std::string_view> names;
  std::vector<Span> spans{{directory.offset, directory.offset + directory.size}};
  uint64_t position = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    const Bytes record = records.slice(position, kDirectoryEntrySize, "directory");
    if (record.u32(0) != kDirectoryEntry) {
      throw damaged_error({where, " has a broken directory"}, {"The package was damaged after it was written."});
    }
    const uint64_t name_size = record.u16(28);
    const uint64_t extra_size = record.u16(30);
    const uint64_t comment_size = record.u16(32);
    const Bytes name_bytes = records.slice(position + kDirectoryEntrySize, name_size, "directory");
    const Bytes extra = records.slice(position + kDirectoryEntrySize + name_size, extra_size, "directory");
    position += kDirectoryEntrySize + name_size + extra_size + comment_size;

    std::string name(reinterpret_cast<const char*>(name_bytes.data()), name_bytes.size());
    if (!is_safe_name(name)) throw unusual(where, name, "would lie outside the package");
    names.emplace_back(reinterpret_cast<const char*>(name_bytes.data()), name_bytes.size());
    if ((record.u16(8) & kEncrypted) != 0) throw unusual(where, name, "is encrypted");
    if (record.u16(10) != kStored) throw unusual(where, name, "is compressed");
    uint64_t stored_size = record.u32(20);
    uint64_t plain_size = record.u32(24);
    uint64_t offset = record.u32(42);
    read_zip64(extra, &plain_size, &stored_size, &offset);
    if (stored_size != plain_size) throw unusual(where, name, "has two different sizes");
    if (name.back() == '/') continue;

    const Bytes header = file.slice(offset, kLocalHeaderSize, "entry");
    if (header.u32(0) != kLocalHeader) throw unusual(where, name, "is not where the directory says");
    const uint64_t skip = kLocalHeaderSize + header.u16(26) + header.u16(28);
    const Bytes content = file.slice(offset, skip, "entry");
    const Bytes body = file.slice(offset + content.size(), plain_size, "entry");
    spans.push_back({offset, offset + skip + plain_size});
    entries_.push_back({std::move(name), body.data(), static_cast<size_t>(body.size()), record.u32(16)});
  }
  refuse_overlap(std::move(spans), where);
  std::sort(names.begin(), names.end());
  for (size_t i = 1; i < names.size(); ++i) {
    if (names[i] == names[i - 1]) throw unusual(where, std::string(names[i]), "is there twice");
  }
}

const Entry* Archive::find(std::string_view name) const {
  for (const Entry& entry : entries_) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

void check_integrity(const Entry& entry, const std::string& where) {
  static constexpr CrcTables tables;
  uint32_t crc = 0xffffffffU;
  const uint8_t* next = entry.data;
  size_t left = entry.size;
  for (; left >= 8; left -= 8, next += 8) {
    const uint32_t low = crc ^ (next[0] | static_cast<uint32_t>(next[1]) << 8U | static_cast<uint32_t>(next[2]) << 16U |
                                static_cast<uint32_t>(next[3]) << 24U);
    crc = tables.of[7][low & 0xffU] ^ tables.of[6][(low >> 8U) & 0xffU] ^ tables.of[5][(low >> 16U) & 0xffU] ^
          tables.of[4][low >> 24U] ^ tables.of[3][next[4]] ^ tables.of[2][next[5]] ^ tables.of[1][next[6]] ^
          tables.of[0][next[7]];
  }
  for (; left > 0; --left, ++next) crc = (crc >> 8U) ^ tables.of[0][(crc ^ *next) & 0xffU];
  if (~crc != entry.crc32) {
    throw damaged_error({where, ": the entry \"", entry.name, "\" has other bytes than were written"},
                        {"The package was damaged after it was written."});
  }
}

}  // namespace aot
