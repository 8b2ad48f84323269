// SPDX-License-Identifier: Apache-2.0
#include "package.h"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>

#include "cpu_features.h"
#include "error.h"

namespace aot {
namespace {

std::string machine_name(uint16_t machine) {
  switch (machine) {
    case EM_X86_64: return "x86_64";
    case EM_AARCH64: return "aarch64";
    case EM_386: return "i386";
    case EM_PPC64: return "ppc64";
    case EM_RISCV: return "riscv";
    case EM_S390: return "s390x";
    default: return "ELF machine " + std::to_string(machine);
  }
}

}  // namespace

void check_library_header(const uint8_t* header, size_t size, const std::string& where) {
  const auto* elf = reinterpret_cast<const Elf64_Ehdr*>(header);
  if (size < sizeof(Elf64_Ehdr) || std::string_view(reinterpret_cast<const char*>(header), SELFMAG) != ELFMAG) {
    throw damaged_error(where + " is not an ELF library", "The compiled model is truncated or is something else.");
  }
  const std::string name = elf->e_ident[EI_CLASS] == ELFCLASS64 ? machine_name(elf->e_machine) : "a 32-bit machine";
  if (name != machine()) {
    throw Error(AOT_MODEL_MISMATCH, where + " is code for " + name + "; this machine is " + machine(),
                "A compiled model runs on the machine type it was exported on.", "Export the model on this machine type.");
  }
}

Package open_folder(const std::string& path) {
  Package package;
  package.path = path;
  const MappedFile document(path + "/model.json");
  package.metadata = parse_metadata({reinterpret_cast<const char*>(document.data()), document.size()}, path + "/model.json");

  package.library_path = path + "/model.so";
  package.library_file = open_file(package.library_path);
  uint8_t header[sizeof(Elf64_Ehdr)];
  const ssize_t size = pread(package.library_file.descriptor(), header, sizeof header, 0);
  check_library_header(header, size > 0 ? static_cast<size_t>(size) : 0, package.library_path);

  if (exists(path + "/weights.blob")) {
    package.storage = MappedFile(path + "/weights.blob");
    package.weights = package.storage.data();
    package.weights_size = package.storage.size();
  }
  if (exists(path + "/kernels")) package.kernels_folder = path + "/kernels";
  if (exists(path + "/extern_kernel_nodes.json")) package.extern_nodes_path = path + "/extern_kernel_nodes.json";
  return package;
}

Package open_package(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    throw damaged_error("there is no model at " + path, "A model folder of a bundle or a .pt2 file was expected.");
  }
  return open_folder(path);
}

}  // namespace aot
