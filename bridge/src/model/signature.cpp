// SPDX-License-Identifier: Apache-2.0
#include "model/signature.h"

#include <limits>
#include <string>

#include "base/dtype.h"
#include "base/error.h"
#include "base/text.h"
#include "base/view.h"

namespace aot {
namespace {

std::string dim_text(const Dim& dim) {
  if (dim.symbol.empty()) return std::to_string(dim.min);
  if (dim.max == std::numeric_limits<int64_t>::max()) return concat({dim.symbol, " (", dim.min, " or more)"});
  return concat({dim.symbol, " (", dim.min, " to ", dim.max, ")"});
}

std::string spec_text(const TensorSpec& spec) {
  std::string text = concat({name_of(spec.dtype), "["});
  for (size_t i = 0; i < spec.dims.size(); ++i) text.append(i > 0 ? ", " : "").append(dim_text(spec.dims[i]));
  text += ']';
  return text;
}

Error misfit(const TensorSpec& spec, Pieces what) {
  return usage_error({"input \"", spec.name, "\" ", concat(what)},
                     {"The model takes ", spec.name, ": ", spec_text(spec), "."},
                     {"Pass such an array, or export the model again for other shapes and dtypes."});
}

/// Bytes from the first element to the end of the last one. Throws AOT_USAGE when that overflows.
void check_extent(const aot_view& view, const char* name, size_t size) {
  int64_t last = 0;
  bool too_large = false;
  for (int32_t i = 0; i < view.ndim; ++i) {
    int64_t reach = 0;
    too_large = too_large || __builtin_mul_overflow(view.shape[i] - 1, view.strides[i], &reach) ||
                __builtin_add_overflow(last, reach, &last);
  }
  int64_t bytes = 0;
  too_large = too_large || __builtin_add_overflow(last, 1, &last) ||
              __builtin_mul_overflow(last, static_cast<int64_t>(size), &bytes);
  if (too_large) {
    throw usage_error({"input \"", name, "\" has strides that reach further than 63 bits count"},
                      {"No memory holds such a tensor."}, {"Check the strides; they count elements, not bytes."});
  }
}

/// A dim of one of the inputs.
struct Place {
  size_t input;
  size_t dim;
};

/// Whether `size` follows from some size of its symbol.
bool is_derived(const Dim& dim, int64_t size) {
  int64_t multiple = 0;
  return !__builtin_sub_overflow(size, dim.offset, &multiple) && multiple % dim.factor == 0;
}

const std::string& symbol_of(const Dim& dim) { return dim.of.empty() ? dim.symbol : dim.of; }

/// The first dim that has the symbol of the one at `place`. Models have few inputs, so looking at them is faster than
/// any map.
Place first_like(const std::vector<TensorSpec>& specs, Place place) {
  const std::string& symbol = symbol_of(specs[place.input].dims[place.dim]);
  for (size_t i = 0; i <= place.input; ++i) {
    for (size_t d = 0; d < specs[i].dims.size(); ++d) {
      const Dim& dim = specs[i].dims[d];
      if (!dim.symbol.empty() && symbol_of(dim) == symbol) return {i, d};
    }
  }
  return place;
}

/// Throws AOT_USAGE when a dim says another size of its symbol than the first dim with that symbol.
void check_agreement(const std::vector<TensorSpec>& specs, const aot_view* inputs, Place place) {
  const Place first = first_like(specs, place);
  const auto dim_at = [&](Place at) -> const Dim& { return specs[at.input].dims[at.dim]; };
  const auto size_at = [&](Place at) { return inputs[at.input].shape[at.dim]; };
  const auto value_at = [&](Place at) { return (size_at(at) - dim_at(at).offset) / dim_at(at).factor; };
  if (value_at(first) == value_at(place)) return;
  const auto where = [&](Place at) { return concat({"dim ", at.dim, " of \"", specs[at.input].name, "\""}); };
  const std::string& symbol = dim_at(place).symbol;
  const std::string& first_symbol = dim_at(first).symbol;
  const std::string sizes = symbol == first_symbol ? concat({"one size, ", symbol, ", for both"})
                                                   : concat({"the sizes ", symbol, " and ", first_symbol, " for them"});
  throw usage_error({where(place), " is ", size_at(place), " and ", where(first), " is ", size_at(first)},
                    {"The model was exported with ", sizes, "."}, {"Pass arrays that agree."});
}

}  // namespace

void check_view(const aot_view& view, const char* name) {
  const auto refusal = [&](Pieces what, Pieces meaning, Pieces fix) {
    return usage_error({"input \"", name, "\" ", concat(what)}, meaning, fix);
  };
  Dtype dtype{};
  if (!dtype_from_dlpack(view.dtype, &dtype)) {
    throw refusal({"has the ", to_string(view.dtype)}, {"A bundle takes tensors of ", dtype_names(), "."},
                  {"Convert it to a dtype that the model takes."});
  }
  if (view.ndim < 0 || view.ndim > kMaxDims || (view.ndim > 0 && view.shape == nullptr)) {
    throw refusal({"has ", view.ndim, " dims", view.shape == nullptr ? " and no shape" : ""},
                  {"A tensor has 0 to ", kMaxDims, " dims and one size for each."}, {"Set ndim and shape."});
  }
  const int64_t elements = count_elements(view.shape, view.ndim);
  if (elements > std::numeric_limits<int64_t>::max() / static_cast<int64_t>(size_of(dtype))) {
    throw refusal({"has the shape ", list(view.shape, view.ndim)}, {"No memory holds such a tensor."},
                  {"Check the shape."});
  }
  if (elements == 0) return;
  if (view.data == nullptr) {
    throw refusal({"has no data, and the shape ", list(view.shape, view.ndim)}, {"Only an empty tensor may have none."},
                  {"Set data to its first element."});
  }
  if (view.strides == nullptr) return;
  for (int32_t i = 0; i < view.ndim; ++i) {
    if (view.strides[i] < 0) {
      throw refusal({"has the stride ", view.strides[i], " at dim ", i},
                    {"torch has no tensors with negative strides."}, {"Pass a contiguous copy."});
    }
  }
  check_extent(view, name, size_of(dtype));
}

void check_signature(const std::vector<TensorSpec>& specs, const aot_view* inputs, size_t count) {
  if (count != specs.size()) {
    std::string names;
    for (const TensorSpec& spec : specs) names.append(names.empty() ? "" : ", ").append(spec.name);
    throw usage_error({count, " inputs were given; the model takes ", specs.size()},
                      {names.empty() ? "The model has no inputs" : "The model takes, in this order: ", names, "."},
                      {"Pass one array for each."});
  }
  for (size_t i = 0; i < count; ++i) {
    const TensorSpec& spec = specs[i];
    const aot_view& view = inputs[i];
    Dtype dtype{};
    if (!dtype_from_dlpack(view.dtype, &dtype) || dtype != spec.dtype) {
      throw misfit(spec, {"has the dtype ", to_string(view.dtype)});
    }
    if (static_cast<size_t>(view.ndim) != spec.dims.size()) {
      throw misfit(spec, {"has ", view.ndim, " dims: ", list(view.shape, view.ndim)});
    }
    for (size_t d = 0; d < spec.dims.size(); ++d) {
      const Dim& dim = spec.dims[d];
      const int64_t size = view.shape[d];
      if (size < dim.min || size > dim.max || !is_derived(dim, size)) {
        throw misfit(spec, {"has ", size, " at dim ", d, ": ", list(view.shape, view.ndim)});
      }
      if (!dim.symbol.empty()) check_agreement(specs, inputs, {i, d});
    }
  }
}

void check_guards(const std::vector<Guard>& guards, const std::vector<TensorSpec>& specs, const aot_view* inputs) {
  for (const Guard& guard : guards) {
    if (guard.holds(inputs)) continue;
    throw usage_error({guard.sizes(specs, inputs)}, {"The model was exported for sizes where ", guard.text(), "."},
                      {"Pass arrays of such sizes, or export the model again for these."});
  }
}

}  // namespace aot
