// SPDX-License-Identifier: Apache-2.0
// A model on disk, in either of its two forms, ready to be loaded: what it says of itself and where its parts are.
#pragma once

#include <string>

#include "base/mapped_file.h"
#include "package/metadata.h"
#include "package/scratch.h"

namespace aot {

struct Package {
  Package();
  Package(Package&& other) noexcept;
  ~Package();

  std::string path;  // as the caller gave it, for messages
  Metadata metadata;

  std::string library_path;  // what dlopen gets
  File library_file;         // keeps `library_path` alive when it names a file in memory
  ScratchFolder scratch;     // of an archive: what must be on disk

  MappedFile storage;          // the weights' file, or the whole archive
  uint8_t* weights = nullptr;  // null when the weights are inside the library
  size_t weights_size = 0;

  std::string kernels_folder;  // GPU code; empty when there is none
  std::string extern_nodes;    // JSON of the ops without a C shim; empty when there are none
};

/// Opens a model folder of a bundle or a .pt2 archive. With `own_names`, what an archive's library imports goes by the
/// slim runtime's names, as in a bundle of it already. Throws AOT_DAMAGED, or AOT_MODEL_MISMATCH for code of another
/// machine type.
Package open_package(const std::string& path, bool own_names);

}  // namespace aot
