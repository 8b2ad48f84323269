// SPDX-License-Identifier: Apache-2.0
// Weights of convolutions in the order that oneDNN reads fastest here, which follows from the kind of CPU and from how
// many threads a call has: packed when the model is loaded, or once for all processes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "package/metadata.h"
#include "package/package.h"
#include "package/prepared.h"
#include "runtime/tensor.h"

namespace aot {

/// One weight, and where it lies as it is in the package.
struct PlacedWeight {
  size_t index;      // of its spec
  const char* name;  // in the model's code
  int32_t dtype;     // torch's number
  const uint8_t* data;
};

/// oneDNN's descriptor of a packed weight; null for others.
const std::string* layout_of(const Metadata& metadata, const ConstantSpec& spec);

/// A tensor over memory that has the weight.
TensorHandle borrow_weight(const ConstantSpec& spec, int32_t dtype, const uint8_t* data, const std::string* layout);

class PackedWeights {
 public:
  /// What prepare() did.
  struct Outcome {
    std::string file;    // that it has written; empty when there was nothing to prepare
    std::string reason;  // why there was not
    size_t weights = 0;
    size_t bytes = 0;
  };

  /// Those of a package that outlives this. `prepared_in` is a folder in which weights may lie as this CPU reads them;
  /// empty for none.
  PackedWeights(const Package& package, std::string prepared_in);

  /// The file of prepared weights that is mapped; empty when there is none.
  const std::string& prepared() const { return prepared_; }

  /// Puts weights that were packed on another kind of CPU into the order that this one reads fastest: those of a file
  /// of prepared ones, or in memory of this one's own, which the handles then are over. Where nobody can tell that
  /// order it is C's, which oneDNN reorders at each call as well, in a tenth of the time.
  void take_order_of_cpu(const std::vector<PlacedWeight>& packed, std::vector<TensorHandle>* handles);

  /// Writes weights as this CPU packs them, for as many threads as the model was loaded with, which the calling thread
  /// must have, into a folder, for others to map. Throws AOT_FAILED, and AOT_MODEL_MISMATCH when there are some that
  /// nobody can pack.
  Outcome prepare(const std::string& folder) const;

 private:
  const ConstantSpec& spec_of(const PlacedWeight& one) const;
  const std::string& layout_of(const PlacedWeight& one) const;
  bool map_prepared(std::vector<TensorHandle>* handles);
  /// A weight in C order of its sizes; for a transposed convolution, of those that torch has.
  TensorHandle unpacked(const PlacedWeight& one, const Convolution* by) const;
  /// The weight as this CPU packs it; none when that is how it lies.
  TensorHandle packed_anew(const PlacedWeight& one) const;

  const Package& package_;
  std::string prepared_in_;
  std::string prepared_;                // the file of prepared ones that is mapped
  MappedFile prepared_file_;            // the same
  Preparation preparation_;             // what it is or would be for
  bool is_foreign_ = false;             // whether another kind of CPU has packed the weights
  bool is_order_unknown_ = false;       // whether nobody can tell how a convolution's weight is packed for this one
  std::vector<PlacedWeight> packable_;  // that can be packed for this one: what the file tells of
  std::vector<TensorHandle> unpacked_;  // memory of weights that lie in C order instead of their file's
};

}  // namespace aot
