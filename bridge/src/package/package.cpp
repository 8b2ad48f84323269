// SPDX-License-Identifier: Apache-2.0
#include "package/package.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/own_names.h"
#include "base/single_file.h"
#include "package/archive.h"
#include "package/elf_check.h"

namespace aot {
namespace {

std::string_view text_of(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

Package open_folder(const std::string& path) {
  Package package;
  package.path = path;
  const MappedFile document(path + "/model.json");
  package.metadata = parse_metadata(text_of(document.data(), document.size()), path + "/model.json");

  package.library_path = path + "/model.so";
  const MappedFile library(package.library_path);
  check_library(library.data(), library.size(), package.library_path);
  if (is_below_a_file(package.library_path)) {
    package.library_file = file_in_memory("model.so", library.data(), library.size());
    package.library_path = package.library_file.is_open()
                               ? path_of(package.library_file)
                               : package.scratch.write("model.so", library.data(), library.size());
  }

  if (exists(path + "/weights.blob")) {
    package.storage = MappedFile(path + "/weights.blob");
    package.weights = package.storage.data();
    package.weights_size = package.storage.size();
  }
  if (exists(path + "/kernels")) package.kernels_folder = path + "/kernels";
  if (exists(path + "/extern_kernel_nodes.json")) {
    const MappedFile nodes(path + "/extern_kernel_nodes.json");
    package.extern_nodes = text_of(nodes.data(), nodes.size());
  }
  return package;
}

/// The model's library: the only one, or that of the model named "model" as torch's own loader has it.
const Entry& find_library(const Archive& archive, const std::string& path) {
  const Entry* only = nullptr;
  size_t count = 0;
  for (const Entry& entry : archive.entries()) {
    if (entry.name.find("data/aotinductor/") == std::string::npos || !ends_with(entry.name, ".so")) continue;
    ++count;
    if (only == nullptr || entry.name.find("data/aotinductor/model/") != std::string::npos) only = &entry;
  }
  if (only == nullptr) {
    throw damaged_error({path, " has no compiled library"},
                        {"It is not a package of AOTInductor, or one of C++ sources only."});
  }
  if (count > 1 && only->name.find("data/aotinductor/model/") == std::string::npos) {
    throw Error(AOT_MODEL_MISMATCH, {path, " holds ", count, " models and none is named \"model\""},
                {"The bridge opens packages of one model."}, {"Package each model by itself."});
  }
  return *only;
}

Package open_archive(const std::string& path, bool own_names) {
  Package package;
  package.path = path;
  package.storage = MappedFile(path);
  const Archive archive(package.storage.data(), package.storage.size(), path);
  const Entry& library = find_library(archive, path);
  const std::string folder = library.name.substr(0, library.name.rfind('/') + 1);
  const std::string stem = library.name.substr(0, library.name.size() - std::strlen(".so"));

  if (const Entry* document = archive.find(stem + "_metadata.json")) {
    check_integrity(*document, path);
    package.metadata = parse_aoti_metadata(text_of(document->data, document->size), path + ':' + document->name);
  } else {
    package.metadata = parse_aoti_metadata("{}", path);
  }

  check_library(library.data, library.size, path + ':' + library.name);
  check_integrity(library, path);
  const uint8_t* code = library.data;
  std::vector<uint8_t> renamed;
  if (own_names) {
    renamed.assign(code, code + library.size);
    use_own_names(renamed.data(), renamed.size());
    code = renamed.data();
  }
  package.library_file = file_in_memory("model.so", code, library.size);
  package.library_path = package.library_file.is_open() ? path_of(package.library_file)
                                                        : package.scratch.write("model.so", code, library.size);

  if (const Entry* weights = archive.find(stem + "_weights.blob")) {
    package.weights = weights->data;
    package.weights_size = weights->size;
  }
  if (const Entry* nodes = archive.find(stem + ".json")) {
    check_integrity(*nodes, path);
    package.extern_nodes = text_of(nodes->data, nodes->size);
  }
  // Generated code for the CPU is all in the library: nothing is written for it.
  const bool has_kernels = package.metadata.device != "cpu";
  for (const Entry& entry : archive.entries()) {
    if (entry.name.compare(0, folder.size(), folder) != 0) continue;
    const std::string name = entry.name.substr(folder.size());
    if (ends_with(name, "weights_config.json")) {
      throw Error(AOT_MODEL_MISMATCH, {path, " has its weights as pickled tensors"},
                  {"Only Python's torch can read those."},
                  {"Export it again, with its weights in one blob: without package_constants_on_disk_format."});
    }
    const bool is_kernel = ends_with(name, ".cubin") || ends_with(name, ".hsaco") || ends_with(name, ".fatbin");
    if (has_kernels && is_kernel && name.find('/') == std::string::npos) {
      const std::string written = package.scratch.write(name, entry.data, entry.size);
      package.kernels_folder = written.substr(0, written.rfind('/'));
    }
  }
  return package;
}

}  // namespace

Package::Package() = default;
Package::Package(Package&& other) noexcept = default;
Package::~Package() = default;

Package open_package(const std::string& path, bool own_names) {
  struct stat status {};
  if (is_folder(path)) return open_folder(path);
  if (stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) throw file_error(path, errno);
    throw damaged_error({"there is no model at ", path, ": ", std::strerror(errno)},
                        {"A model folder of a bundle or a .pt2 file was expected."});
  }
  return open_archive(path, own_names);
}

}  // namespace aot
