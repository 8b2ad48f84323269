// SPDX-License-Identifier: Apache-2.0
#include "package/elf_check.h"

#include <elf.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "check.h"

namespace {

/// A library of one segment, with section headers at its end.
std::vector<uint8_t> library(uint16_t machine) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_type = ET_DYN;
  header.e_machine = machine;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  header.e_shoff = 200;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 2;
  Elf64_Phdr segment{};
  segment.p_type = PT_LOAD;
  segment.p_filesz = 200;
  std::vector<uint8_t> bytes(200 + 2 * sizeof(Elf64_Shdr));
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &segment, sizeof segment);
  return bytes;
}

std::vector<uint8_t> library_for_this_machine() {
  return library(std::string(aot::machine()) == "aarch64" ? EM_AARCH64 : EM_X86_64);
}

void check_bytes(std::vector<uint8_t> bytes) {
  bytes.shrink_to_fit();  // so that AddressSanitizer sees a read beyond the end
  aot::check_library(bytes.data(), bytes.size(), "model.so");
}

TEST(whole_libraries_pass) { check_bytes(library_for_this_machine()); }

TEST(libraries_truncated_anywhere_are_refused) {
  const std::vector<uint8_t> whole = library_for_this_machine();
  for (size_t size = 0; size < whole.size(); ++size) {
    CHECK_THROWS(AOT_DAMAGED, "model.so",
                 check_bytes(std::vector<uint8_t>(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size))));
  }
}

TEST(libraries_for_other_machines_are_named) {
  CHECK_THROWS(AOT_MODEL_MISMATCH, "code for s390x", check_bytes(library(EM_S390)));
  CHECK_THROWS(AOT_MODEL_MISMATCH, "code for ELF machine 4711", check_bytes(library(4711)));
}

TEST(damaged_libraries_are_read_within_their_bounds) {
  const std::vector<uint8_t> whole = library_for_this_machine();
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> bytes = whole;
    for (int i = 0; i < 3; ++i) bytes[random() % 120] = static_cast<uint8_t>(random());
    try {
      check_bytes(bytes);
    } catch (const aot::Error&) {
      continue;
    }
  }
}

}  // namespace
