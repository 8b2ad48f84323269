// SPDX-License-Identifier: Apache-2.0
#include "package/package.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/own_names.h"
#include "base/single_file.h"
#include "base/text.h"
#include "package/archive.h"
#include "package/elf_check.h"

namespace aot {
namespace {

std::string_view text_of(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

Metadata metadata_of_folder(const std::string& path) {
  const MappedFile document(path + "/model.json");
  return parse_metadata(text_of(document.data(), document.size()), path + "/model.json");
}

void map_weights(const std::string& folder, Package* package) {
  const std::vector<std::string>& files = package->metadata.weights;
  // A lone file goes unsaid, and is not there when the weights are inside the library, or there are none.
  if (files.size() == 1 && !exists(folder + '/' + files[0])) return;
  for (const std::string& file : files) {
    package->storage.emplace_back(concat({folder, "/", file}));
    package->weights.push_back({package->storage.back().data(), package->storage.back().size()});
  }
}

Package open_folder(const std::string& model, const Chooser& choose);

/// A variant with a folder of its own, which is that of a model.
Package open_variant(const std::string& model, const Metadata& chosen) {
  const auto keep = [](Metadata* /*metadata*/, const std::string& /*path*/) {};
  Package package = open_folder(concat({model, "/", chosen.folder}), keep);
  package.path = model;
  package.metadata.variant = chosen.variant;
  return package;
}

Package open_folder(const std::string& model, const Chooser& choose) {
  Package package;
  package.path = model;
  package.metadata = metadata_of_folder(model);
  choose(&package.metadata, model);
  if (!package.metadata.folder.empty()) return open_variant(model, package.metadata);
  const std::string& path = model;

  package.library_path = path + '/' + package.metadata.library;
  const MappedFile library(package.library_path);
  check_library(library.data(), library.size(), package.library_path);
  if (is_below_a_file(package.library_path)) {
    const std::string name = package.library_path.substr(package.library_path.rfind('/') + 1);
    package.library_file = file_in_memory(name.c_str(), library.data(), library.size());
    package.library_path = package.library_file.is_open() ? path_of(package.library_file)
                                                          : package.scratch.write(name, library.data(), library.size());
  }

  map_weights(model, &package);
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

/// The name of the package's own library without its end, which its other files' names begin with.
std::string stem_of(const Entry& library) { return library.name.substr(0, library.name.size() - std::strlen(".so")); }

/// Whether a kernel has code for several GPUs: a fatbin of CUDA, or a bundle of clang-offload-bundler.
bool has_several_gpus(const Entry& kernel) {
  return ends_with(kernel.name, ".fatbin") ||
         (ends_with(kernel.name, ".hsaco") &&
          starts_with(text_of(kernel.data, kernel.size), "__CLANG_OFFLOAD_BUNDLE__"));
}

Metadata metadata_of_archive(const Archive& archive, const Entry& library, const std::string& path) {
  const Entry* document = archive.find(stem_of(library) + "_metadata.json");
  if (document == nullptr) return parse_aoti_metadata("{}", path, false);
  check_integrity(*document, path);
  const std::vector<Entry>& entries = archive.entries();
  return parse_aoti_metadata(text_of(document->data, document->size), path + ':' + document->name,
                             std::any_of(entries.begin(), entries.end(), has_several_gpus));
}

/// The code of the variant that was chosen: the package's own library, or one that lies apart from what torch knows.
const Entry& chosen_library(const Archive& archive, const Entry& own, const Metadata& metadata,
                            const std::string& path) {
  // NOLINTNEXTLINE(bugprone-return-const-ref-from-parameter): an entry of the archive, as the other is
  if (metadata.library == Metadata().library) return own;
  const Entry* found = archive.find(concat({own.name.substr(0, own.name.find('/')), "/aotpack/", metadata.library}));
  if (found == nullptr) {
    throw damaged_error({path, " has no ", metadata.library, ", the code of its variant ", metadata.variant},
                        {"The package is incomplete."});
  }
  return *found;
}

Package open_archive(const std::string& path, bool own_names, const Chooser& choose) {
  Package package;
  package.path = path;
  package.storage.emplace_back(path);
  const Archive archive(package.storage[0].data(), package.storage[0].size(), path);
  const Entry& torchs = find_library(archive, path);
  const std::string folder = torchs.name.substr(0, torchs.name.rfind('/') + 1);
  const std::string stem = stem_of(torchs);
  package.metadata = metadata_of_archive(archive, torchs, path);
  choose(&package.metadata, path);
  const Entry& library = chosen_library(archive, torchs, package.metadata, path);

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
    package.weights.push_back({weights->data, weights->size});
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

void refuse_absent(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) return;
  if (errno != ENOENT && errno != ENOTDIR) throw file_error(path, errno);
  throw damaged_error({"there is no model at ", path, ": ", std::strerror(errno)},
                      {"A model folder of a bundle or a .pt2 file was expected."});
}

}  // namespace

Package::Package() = default;
Package::Package(Package&& other) noexcept = default;
Package::~Package() = default;

Package open_package(const std::string& path, bool own_names, const Chooser& choose) {
  if (is_folder(path)) return open_folder(path, choose);
  refuse_absent(path);
  return open_archive(path, own_names, choose);
}

Metadata read_metadata(const std::string& path) {
  if (is_folder(path)) return metadata_of_folder(path);
  refuse_absent(path);
  const MappedFile file(path);
  const Archive archive(file.data(), file.size(), path);
  return metadata_of_archive(archive, find_library(archive, path), path);
}

}  // namespace aot
