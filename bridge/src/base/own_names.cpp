// SPDX-License-Identifier: Apache-2.0
#include "base/own_names.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/text.h"

namespace aot {
namespace {

struct Renamed {
  std::string_view from, to;  // beginnings of names, equally long
};

constexpr Renamed kNames[] = {
    {"aoti_", "slim_"}, {"torch_", "slimt_"}, {"Sleef_", "Slimf_"}, {"GOMP_", "AOMP_"}, {"omp_", "aop_"},
};
constexpr Renamed kGomp = {"libgomp.so.1", "libaomp.so.1"};

/// Whether it is the name of a version, such as "GOMP_4.0", which libaomp has under libgomp's name.
bool is_version(std::string_view text, std::string_view start) {
  return text.size() > start.size() && text[start.size()] >= '0' && text[start.size()] <= '9';
}

/// The part of an image that the loader sees at an address; empty where it is not in the file.
struct ElfImage {
  uint8_t* data;
  size_t size;

  template <class T>
  T at(size_t offset) const {
    T value{};
    if (offset <= size && sizeof value <= size - offset) std::memcpy(&value, data + offset, sizeof value);
    return value;
  }
};

}  // namespace

std::string own_name(std::string name) {
  for (const Renamed& one : kNames) {
    if (starts_with(name, one.from)) return name.replace(0, one.to.size(), one.to);
  }
  return name;
}

std::string torch_name(std::string name) {
  for (const Renamed& one : kNames) {
    if (starts_with(name, one.to)) return name.replace(0, one.from.size(), one.from);
  }
  return name;
}

void use_own_names(uint8_t* data, size_t size) {
  const ElfImage image{data, size};
  const auto header = image.at<Elf64_Ehdr>(0);
  const auto segment = [&](uint64_t i) { return image.at<Elf64_Phdr>(header.e_phoff + i * sizeof(Elf64_Phdr)); };
  uint64_t address = 0;
  uint64_t length = 0;
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    const Elf64_Phdr part = segment(i);
    if (part.p_type != PT_DYNAMIC) continue;
    const uint64_t end = std::min<uint64_t>(part.p_filesz, size);  // it may lie
    for (uint64_t offset = 0; offset < end; offset += sizeof(Elf64_Dyn)) {
      const auto tag = image.at<Elf64_Dyn>(part.p_offset + offset);
      if (tag.d_tag == DT_NULL) break;  // also what is not in the file, however long it says that it is
      if (tag.d_tag == DT_STRTAB) address = tag.d_un.d_ptr;
      if (tag.d_tag == DT_STRSZ) length = tag.d_un.d_val;
    }
  }
  // All names stand in one table, each behind a zero.
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    const Elf64_Phdr part = segment(i);
    if (part.p_type != PT_LOAD || address < part.p_vaddr || address - part.p_vaddr >= part.p_filesz) continue;
    const uint64_t start = address - part.p_vaddr + part.p_offset;
    if (start >= size || length > size - start) return;
    for (uint64_t at = start; at < start + length;) {
      auto* const name = reinterpret_cast<char*>(data + at);
      const std::string_view text(name, strnlen(name, start + length - at));
      for (const Renamed& one : kNames) {
        if (starts_with(text, one.from) && !is_version(text, one.from)) std::memcpy(name, one.to.data(), one.to.size());
      }
      if (text == kGomp.from) std::memcpy(name, kGomp.to.data(), kGomp.to.size());
      at += text.size() + 1;
    }
    return;
  }
}

}  // namespace aot
