// SPDX-License-Identifier: Apache-2.0
#include "package/elf_check.h"

#include <elf.h>

#include <cstring>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/text.h"

namespace aot {
namespace {

std::string machine_name(uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86_64";
    case EM_AARCH64:
      return "aarch64";
    case EM_386:
      return "i386";
    case EM_PPC64:
      return "ppc64";
    case EM_RISCV:
      return "riscv";
    case EM_S390:
      return "s390x";
    default:
      return concat({"ELF machine ", machine});
  }
}

bool fits(uint64_t offset, uint64_t count, uint64_t size) { return offset <= size && count <= size - offset; }

}  // namespace

void check_library(const uint8_t* data, size_t size, const std::string& where) {
  Elf64_Ehdr header;
  if (size < sizeof header || std::memcmp(data, ELFMAG, SELFMAG) != 0) {
    throw damaged_error({where, " is not an ELF library"}, {"The compiled model is truncated or is something else."});
  }
  std::memcpy(&header, data, sizeof header);
  const bool is_64_bit = header.e_ident[EI_CLASS] == ELFCLASS64;
  const std::string name = is_64_bit ? machine_name(header.e_machine) : "a 32-bit machine";
  if (name != machine()) {
    throw Error(AOT_MODEL_MISMATCH, {where, " is code for ", name, "; this machine is ", machine()},
                {"A compiled model runs on the machine type it was exported on."},
                {"Export the model on this machine type."});
  }
  const auto truncated = [&] {
    return damaged_error({where, " is truncated: it has ", size, " bytes"},
                         {"Its headers name parts that lie beyond its end."});
  };
  // Section headers come last in what linkers write.
  const bool has_sections = header.e_shoff != 0;
  if (header.e_type != ET_DYN || header.e_phentsize != sizeof(Elf64_Phdr) ||
      !fits(header.e_phoff, uint64_t{header.e_phnum} * sizeof(Elf64_Phdr), size) ||
      (has_sections && !fits(header.e_shoff, uint64_t{header.e_shnum} * header.e_shentsize, size))) {
    throw truncated();
  }
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, data + header.e_phoff + i * sizeof segment, sizeof segment);
    if (segment.p_type == PT_LOAD && !fits(segment.p_offset, segment.p_filesz, size)) throw truncated();
  }
}

}  // namespace aot
