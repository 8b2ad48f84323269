// SPDX-License-Identifier: Apache-2.0
// model.json, read and checked. The writing side is toolchain/aotpack/package/metadata.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "package/guard.h"
#include "package/tensor_spec.h"

namespace aot {

/// What oneDNN chooses the order of a convolution's weight by, beside the CPU and the weight's own sizes. Lists have a
/// number for each spatial dim.
struct Convolution {
  std::vector<int64_t> padding;
  std::vector<int64_t> stride;
  std::vector<int64_t> dilation;
  std::vector<int64_t> output_padding;
  std::vector<int64_t> input;  // sizes of its input at export; empty when oneDNN is not told
  int64_t groups = 1;
  bool is_transposed = false;
};

/// How one weight lies in the weights' file. Numbers count elements.
struct ConstantSpec {
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;                 // empty for C order
  int64_t offset = 0;                           // of its storage before the first one
  int64_t layout = -1;                          // which of the document's, of one that oneDNN has packed
  int64_t begin = -1;                           // its first byte in its file; -1: behind the one before it
  int64_t file = 0;                             // which of the document's files of weights
  std::optional<Convolution> convolution = {};  // of a packed weight, how another CPU packs it for itself
  std::string sha256 = {};                      // of its bytes; empty when nobody said
};

/// One of several compiled forms of a model: all have its signature and its results, and differ in what they ask for.
struct Variant {
  std::string name;
  std::string folder;   // below the model's; empty: the model's own
  std::string library;  // file name of its code
  std::string device;
  std::vector<std::string> cpu_features;
  std::vector<std::string> gpu_archs;
  std::string glibc_floor;
  bool has_constants = false;
  std::vector<size_t> constants;  // which of the document's, in the order of its code; all of them when not said
};

struct Metadata {
  // Compiled once, not wherever a package is moved.
  Metadata();
  Metadata(Metadata&& other) noexcept;
  Metadata& operator=(Metadata&& other) noexcept;
  ~Metadata();

  /// Says from now on what is true of one of the variants.
  void take(const Variant& chosen);

  /// What is true of it now, as a variant: the one that was taken, or the only form.
  Variant form() const;

  bool has_signature = false;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<Guard> guards;  // what sizes must satisfy beside the ranges of the inputs
  std::string device = "cpu";
  std::string machine;
  std::string torch_version;
  std::vector<std::string> cpu_features;
  std::vector<std::string> gpu_archs;
  std::vector<ConstantSpec> constants;  // in the order of the weights' file; empty when not known
  std::vector<std::string> layouts;     // of packed ones: oneDNN's descriptors, bytes
  bool knows_state = false;             // whether `state` was said
  std::vector<std::string> state;       // buffers that a call changes, by the module's names
  bool is_rearranged = false;           // packed ones lie in other layouts than the model's code says
  std::string packed_on;                // libtorch's kind of CPU that oneDNN packed weights on; empty: not known
  std::string int4_order;               // libtorch's kind of CPU whose order weights of four bits lie in; empty: none
  std::vector<std::string> weights;     // files that constants lie in, relative to the model's folder
  std::vector<Variant> variants;        // the least demanding first; empty: there is one form of the model
  std::string folder;                   // of the variant that is taken: where its files are below the model's folder
  std::string library = "model.so";     // its code there
  std::string variant;                  // its name; empty: there are none
  std::string glibc_floor;  // the oldest glibc that the code accepts, such as "2.34"; empty when it asks for none
  std::string text;         // the document itself
};

/// Reads a model.json document; `where` names it in errors. Throws AOT_DAMAGED, or AOT_MODEL_MISMATCH for a newer
/// schema.
Metadata parse_metadata(std::string_view text, const std::string& where);

/// Reads the metadata that AOTInductor puts into a .pt2: the document under the key "aotpack" when aotpack made the
/// package, else a document of the little that PyTorch records, without a signature. That names the GPU which compiled
/// the kernels, and is no bound where they have code for several.
Metadata parse_aoti_metadata(std::string_view text, const std::string& where, bool has_several_gpus);

}  // namespace aot
