// SPDX-License-Identifier: Apache-2.0
#include "package/archive.h"

#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "package/package.h"
#include "package/scratch.h"
#include "zip_writer.h"

namespace {

using aot::Archive;
using check::ZipEntry;
using check::ZipWriter;

std::vector<uint8_t> zip_of(const std::vector<ZipEntry>& entries) {
  ZipWriter writer;
  for (const ZipEntry& entry : entries) writer.add(entry);
  return writer.finish();
}

/// The bytes are put at the very end of their allocation, so that AddressSanitizer sees a read beyond the file.
Archive open(std::vector<uint8_t>& bytes) {
  bytes.shrink_to_fit();
  return {bytes.data(), bytes.size(), "test.pt2"};
}

void refuses(const std::vector<ZipEntry>& entries, const std::string& part) {
  std::vector<uint8_t> bytes = zip_of(entries);
  CHECK_THROWS(AOT_DAMAGED, part, open(bytes));
}

TEST(archive_finds_stored_entries) {
  std::vector<uint8_t> bytes = zip_of({{"m/a", "first"}, {"m/", ""}, {"m/b", ""}});
  const Archive archive = open(bytes);
  CHECK_EQUAL(archive.entries().size(), 2U);
  const aot::Entry* entry = archive.find("m/a");
  CHECK(entry != nullptr);
  CHECK_EQUAL(std::string(reinterpret_cast<const char*>(entry->data), entry->size), "first");
  CHECK(archive.find("m/b")->size == 0);
  CHECK(archive.find("m") == nullptr);
}

TEST(archive_reads_zip64) {
  ZipWriter writer;
  writer.is_zip64 = true;
  ZipEntry entry{"m/large", "body"};
  entry.is_zip64 = true;
  writer.add(entry);
  std::vector<uint8_t> bytes = writer.finish("a comment");
  const Archive archive = open(bytes);
  CHECK_EQUAL(archive.find("m/large")->size, 4U);
}

TEST(archive_refuses_what_is_no_zip) {
  for (const std::string& text : {std::string(), std::string("PK"), std::string(5000, 'x')}) {
    std::vector<uint8_t> bytes(text.begin(), text.end());
    CHECK_THROWS(AOT_DAMAGED, "not a zip file", open(bytes));
  }
}

TEST(archive_refuses_names_outside) {
  for (const char* name : {"/etc/passwd", "../x", "a/../../x", "a/..", "..", "a\\b"}) refuses({{name, "x"}}, "outside");
  refuses({{std::string("a\0b", 3), "x"}}, "outside");
  refuses({{"", "x"}}, "outside");
  std::vector<uint8_t> bytes = zip_of({{"a/..b/c..", "x"}});
  CHECK_EQUAL(open(bytes).entries().size(), 1U);
}

TEST(archive_refuses_unusual_entries) {
  ZipEntry entry{"a", "body"};
  refuses({entry, entry}, "twice");
  entry.method = 8;
  refuses({entry}, "compressed");
  entry.method = 0;
  entry.flags = 1;
  refuses({entry}, "encrypted");
}

TEST(archive_refuses_ranges_outside_the_file) {
  for (const int64_t error : {int64_t{1}, int64_t{1000}, int64_t{0xfffffff0}}) {
    ZipEntry entry{"a", "body"};
    entry.size_error = error == 1 ? 200 : error;
    refuses({entry}, "truncated");
    entry.size_error = 0;
    entry.offset_error = error;
    std::vector<uint8_t> bytes = zip_of({entry});
    CHECK_THROWS(AOT_DAMAGED, "test.pt2", open(bytes));
  }
  ZipEntry huge{"a", "body"};
  huge.is_zip64 = true;
  huge.size_error = INT64_MAX - 10;
  refuses({huge}, "truncated");
  huge.size_error = 0;
  huge.offset_error = INT64_MAX - 10;
  refuses({huge}, "truncated");
}

TEST(archive_refuses_entries_that_share_bytes) {
  const auto refuses_second = [](int64_t offset_error, const std::string& first) {
    ZipEntry second{"m/b", "bb"};
    second.offset_error = offset_error;
    refuses({{"m/a", first}, second}, "shares bytes");
  };
  // Headers are 30 bytes and a name. The second entry's is the first's, or lies within the first's body.
  ZipWriter inner;
  inner.add({"m/b", "bb"});
  const std::vector<uint8_t> bytes = inner.finish();
  const std::string header(bytes.begin(), bytes.begin() + 33);
  refuses_second(-(33 + 2), "aa");
  refuses_second(-static_cast<int64_t>(header.size() + 2), header + "bb");
  refuses_second(-static_cast<int64_t>(header.size()), "some bytes" + header);
  // The last entry reaches into the directory.
  ZipEntry last{"m/b", "bb"};
  last.size_error = 1;
  refuses({{"m/a", "aa"}, last}, "shares bytes");
}

TEST(archive_refuses_millions_of_entries) {
  ZipWriter writer;
  writer.is_zip64 = true;
  writer.claimed_entries = uint64_t{1} << 60U;
  writer.add({"a", "x"});
  std::vector<uint8_t> bytes = writer.finish();
  CHECK_THROWS(AOT_DAMAGED, "entries", open(bytes));
}

TEST(archive_truncated_anywhere_is_refused) {
  const std::vector<uint8_t> whole = zip_of({{"m/a", "some content"}, {"m/b", "more"}});
  for (size_t size = 0; size < whole.size(); ++size) {
    std::vector<uint8_t> bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    CHECK_THROWS(AOT_DAMAGED, "test.pt2", open(bytes));
  }
}

TEST(archive_survives_damage) {
  // Whatever happens, reading stays within the file (which the sanitizers watch) and ends in success or in an
  // aot::Error.
  ZipWriter writer;
  writer.is_zip64 = true;
  ZipEntry large{"m/large", "content of the entry"};
  large.is_zip64 = true;
  writer.add({"m/a", "0123456789"});
  writer.add(large);
  const std::vector<uint8_t> whole = writer.finish("comment");
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> bytes = whole;
    const uint32_t changes = 1 + random() % 8;
    for (uint32_t i = 0; i < changes; ++i) bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    try {
      const Archive archive = open(bytes);
      uint64_t sum = 0;
      for (const aot::Entry& entry : archive.entries()) {
        for (size_t i = 0; i < entry.size; ++i) sum += entry.data[i];
      }
      CHECK(sum <= 255 * bytes.size() * archive.entries().size());
    } catch (const aot::Error&) {
      continue;
    }
  }
}

TEST(integrity_is_crc32) {
  std::string text = "The quick brown fox jumps over the lazy dog";
  const aot::Entry entry{"a", reinterpret_cast<uint8_t*>(text.data()), text.size(), 0x414fa339};
  check_integrity(entry, "test.pt2");
  text[7] ^= 1;
  CHECK_THROWS(AOT_DAMAGED, "other bytes", check_integrity(entry, "test.pt2"));
}

TEST(kernels_for_several_gpus_tell_more_than_torchs_key) {
  const std::string folder = "m/data/aotinductor/model/";
  ZipEntry keys{folder + "a.wrapper_metadata.json", R"({"AOTI_DEVICE_KEY": "cuda", "AOTI_COMPUTE_CAPABILITY": "90"})"};
  keys.crc32 = 0xcf057229;
  const auto archs = [&](const std::string& kernel, const std::string& content) {
    const std::vector<uint8_t> bytes = zip_of({{folder + "a.wrapper.so", "code"}, keys, {folder + kernel, content}});
    const aot::File file = aot::file_in_memory("m.pt2", bytes.data(), bytes.size());
    return aot::read_metadata(aot::path_of(file)).gpu_archs.size();
  };
  CHECK_EQUAL(archs("k.cubin", "code"), 1U);
  CHECK_EQUAL(archs("k.hsaco", "code"), 1U);
  CHECK_EQUAL(archs("k.hsaco", "__CLANG_OFFLOAD_BUNDLE__..."), 0U);
  CHECK_EQUAL(archs("k.fatbin", "code"), 0U);
}

}  // namespace
