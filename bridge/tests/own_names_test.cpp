// SPDX-License-Identifier: Apache-2.0
#include "base/own_names.h"

#include <elf.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"

namespace {

/// An image whose dynamic strings are these, each behind a zero.
struct Image {
  explicit Image(const std::string& strings) : bytes(1024) {
    Elf64_Ehdr header{};
    header.e_phoff = sizeof header;
    header.e_phnum = 2;
    Elf64_Phdr load{};
    load.p_type = PT_LOAD;
    load.p_vaddr = 0x4000;
    load.p_filesz = bytes.size();
    Elf64_Phdr dynamic{};
    dynamic.p_type = PT_DYNAMIC;
    dynamic.p_offset = kTags;
    dynamic.p_filesz = 2 * sizeof(Elf64_Dyn);
    Elf64_Dyn tags[2]{};
    tags[0].d_tag = DT_STRTAB;
    tags[0].d_un.d_ptr = 0x4000 + kStrings;
    tags[1].d_tag = DT_STRSZ;
    tags[1].d_un.d_val = strings.size();
    std::memcpy(bytes.data(), &header, sizeof header);
    std::memcpy(bytes.data() + sizeof header, &load, sizeof load);
    std::memcpy(bytes.data() + sizeof header + sizeof load, &dynamic, sizeof dynamic);
    std::memcpy(bytes.data() + kTags, tags, sizeof tags);
    std::memcpy(bytes.data() + kStrings, strings.data(), strings.size());
  }
  std::string strings(size_t size) const { return {reinterpret_cast<const char*>(bytes.data()) + kStrings, size}; }

  static constexpr size_t kTags = 256;
  static constexpr size_t kStrings = 512;
  std::vector<uint8_t> bytes;
};

/// A literal with zeros in it, and the one at its end.
template <size_t size>
std::string text(const char (&literal)[size]) {
  return {literal, size};
}

TEST(names_of_the_runtime_are_written_over_torchs) {
  const std::string before =
      text("\0aoti_torch_x\0memcpy\0GOMP_parallel\0GOMP_4.0\0libgomp.so.1\0xaoti_y\0omp_z\0Sleef_e");
  const std::string after =
      text("\0slim_torch_x\0memcpy\0AOMP_parallel\0GOMP_4.0\0libaomp.so.1\0xaoti_y\0aop_z\0Slimf_e");
  Image image(before);
  const std::vector<uint8_t> whole = image.bytes;
  aot::use_own_names(image.bytes.data(), image.bytes.size());
  CHECK_EQUAL(image.strings(before.size()), after);
  CHECK_EQUAL(std::memcmp(image.bytes.data(), whole.data(), Image::kStrings), 0);
}

TEST(names_have_their_way_back) {
  for (const char* name : {"aoti_torch_get_dim", "torch_exception_get_what", "Sleef_expf8_u10", "GOMP_barrier",
                           "omp_get_num_threads", "memcpy"}) {
    CHECK_EQUAL(aot::torch_name(aot::own_name(name)), name);
    CHECK_EQUAL(aot::own_name(name).size(), std::strlen(name));
  }
  CHECK_EQUAL(aot::own_name("aoti_torch_get_dim"), "slim_torch_get_dim");
}

TEST(a_dynamic_segment_without_an_end_ends) {
  const std::string strings = text("\0aoti_torch_x");
  Image image(strings);
  const uint64_t endless = ~uint64_t{0};
  constexpr size_t kSize = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, p_filesz);
  std::memcpy(image.bytes.data() + kSize, &endless, sizeof endless);
  aot::use_own_names(image.bytes.data(), image.bytes.size());
  CHECK_EQUAL(image.strings(strings.size()), text("\0slim_torch_x"));
}

TEST(an_image_that_lies_is_left_alone) {
  const std::string strings = text("\0aoti_torch_x");
  for (size_t at = 0; at < Image::kTags + 2 * sizeof(Elf64_Dyn); at += 4) {
    for (const uint32_t value : {0U, 0xffffffffU, 0x4000U, 0x7fffffffU}) {
      Image image(strings);
      std::memcpy(image.bytes.data() + at, &value, sizeof value);
      aot::use_own_names(image.bytes.data(), image.bytes.size());  // the sanitizers look on
    }
  }
}

}  // namespace
