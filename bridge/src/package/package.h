// SPDX-License-Identifier: Apache-2.0
// A model on disk, in either of its two forms, ready to be loaded: what it says of itself and where its parts are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "package/metadata.h"
#include "package/scratch.h"

namespace aot {

/// A file of weights in memory.
struct Weights {
  uint8_t* data;
  size_t size;
};

struct Package {
  Package();
  Package(Package&& other) noexcept;
  ~Package();

  std::string path;  // as the caller gave it, for messages
  Metadata metadata;

  std::string library_path;  // what dlopen gets
  File library_file;         // keeps `library_path` alive when it names a file in memory
  ScratchFolder scratch;     // of an archive: what must be on disk

  std::vector<MappedFile> storage;  // the files of weights, or the whole archive
  std::vector<Weights> weights;     // as the metadata lists them; empty when they are inside the library

  std::string kernels_folder;  // GPU code; empty when there is none
  std::string extern_nodes;    // JSON of the ops without a C shim; empty when there are none
};

/// Takes one of a model's variants, if there are any, before anything of it is looked at. `path` is for messages.
using Chooser = std::function<void(Metadata*, const std::string& path)>;

/// Opens a model folder of a bundle or a .pt2 archive; `choose` says which of its variants. With `own_names`, what an
/// archive's library imports goes by the slim runtime's names, as in a bundle of it already. Throws AOT_DAMAGED, or
/// AOT_MODEL_MISMATCH for code of another machine type.
Package open_package(const std::string& path, bool own_names, const Chooser& choose);

/// What a model folder or an archive says of itself. Throws as open_package() does.
Metadata read_metadata(const std::string& path);

}  // namespace aot
