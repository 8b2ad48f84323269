// SPDX-License-Identifier: Apache-2.0
#include "signature.h"

#include <algorithm>
#include <limits>

#include "dtype.h"
#include "error.h"
#include "view.h"

namespace aot {
namespace {

std::string shape_text(const aot_view& view) {
  std::string text = "[";
  for (int32_t i = 0; i < view.ndim; ++i) text += (i > 0 ? ", " : "") + std::to_string(view.shape[i]);
  return text + "]";
}

std::string dim_text(const Dim& dim) {
  if (dim.symbol.empty()) return std::to_string(dim.min);
  const bool bounded = dim.max != std::numeric_limits<int64_t>::max();
  return dim.symbol + " (" + std::to_string(dim.min) + (bounded ? " to " + std::to_string(dim.max) : " or more") + ")";
}

std::string spec_text(const TensorSpec& spec) {
  std::string text = std::string(name_of(spec.dtype)) + "[";
  for (size_t i = 0; i < spec.dims.size(); ++i) text += (i > 0 ? ", " : "") + dim_text(spec.dims[i]);
  return text + "]";
}

Error misfit(const TensorSpec& spec, const std::string& what) {
  return usage_error("input \"" + spec.name + "\" " + what,
                     "The model takes " + spec.name + ": " + spec_text(spec) + ".",
                     "Pass such an array, or export the model again for other shapes and dtypes.");
}

/// Bytes from the first element to the end of the last one. Throws AOT_USAGE when that overflows.
void check_extent(const aot_view& view, const std::string& name, size_t size) {
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
    throw usage_error("input \"" + name + "\" has strides that reach further than 63 bits count",
                      "No memory holds such a tensor.", "Check the strides; they count elements, not bytes.");
  }
}

}  // namespace

void check_view(const aot_view& view, const std::string& name) {
  const auto refusal = [&](std::string_view what, std::string_view meaning, std::string_view fix) {
    return usage_error(std::string("input \"").append(name).append("\" ").append(what), meaning, fix);
  };
  Dtype dtype{};
  if (!dtype_from_dlpack(view.dtype, &dtype)) {
    throw refusal("has the " + to_string(view.dtype), "torch has no such element type.",
                  "Convert it to a dtype that the model takes.");
  }
  if (view.ndim < 0 || view.ndim > kMaxDims || (view.ndim > 0 && view.shape == nullptr)) {
    throw refusal("has " + std::to_string(view.ndim) + " dims" + (view.shape == nullptr ? " and no shape" : ""),
                  "A tensor has 0 to " + std::to_string(kMaxDims) + " dims and one size for each.",
                  "Set ndim and shape.");
  }
  const int64_t elements = count_elements(view.shape, view.ndim);
  if (elements > std::numeric_limits<int64_t>::max() / static_cast<int64_t>(size_of(dtype))) {
    throw refusal("has the shape " + shape_text(view), "No memory holds such a tensor.", "Check the shape.");
  }
  if (elements == 0) return;
  if (view.data == nullptr) {
    throw refusal("has no data, and the shape " + shape_text(view), "Only an empty tensor may have none.",
                  "Set data to its first element.");
  }
  if (view.strides == nullptr) return;
  for (int32_t i = 0; i < view.ndim; ++i) {
    if (view.strides[i] < 0) {
      throw refusal("has the stride " + std::to_string(view.strides[i]) + " at dim " + std::to_string(i),
                    "torch has no tensors with negative strides.", "Pass a contiguous copy.");
    }
  }
  check_extent(view, name, size_of(dtype));
}

void check_signature(const std::vector<TensorSpec>& specs, const aot_view* inputs, size_t count) {
  if (count != specs.size()) {
    std::string names;
    for (const TensorSpec& spec : specs) names += (names.empty() ? "" : ", ") + spec.name;
    throw usage_error(std::to_string(count) + " inputs were given; the model takes " + std::to_string(specs.size()),
                      names.empty() ? "The model has no inputs." : "The model takes, in this order: " + names + ".",
                      "Pass one array for each.");
  }
  // Where each symbol was met first. A call has few symbols, so looking through them is faster than any map; texts are
  // made for errors only.
  struct Use {
    const Dim* dim;
    int64_t value;  // of the symbol
    int64_t size;   // of the dim, which may follow from the symbol's value
    size_t input;
    int32_t index;
  };
  std::vector<Use> uses;
  const auto symbol_of = [](const Dim& dim) -> const std::string& { return dim.of.empty() ? dim.symbol : dim.of; };
  const auto where = [&](size_t input, int32_t index) {
    return "dim " + std::to_string(index) + " of \"" + specs[input].name + '"';
  };
  for (size_t i = 0; i < count; ++i) {
    const TensorSpec& spec = specs[i];
    const aot_view& view = inputs[i];
    Dtype dtype{};
    if (!dtype_from_dlpack(view.dtype, &dtype) || dtype != spec.dtype) {
      throw misfit(spec, "has the dtype " + to_string(view.dtype));
    }
    if (static_cast<size_t>(view.ndim) != spec.dims.size()) {
      throw misfit(spec, "has " + std::to_string(view.ndim) + " dims: " + shape_text(view));
    }
    for (int32_t d = 0; d < view.ndim; ++d) {
      const Dim& dim = spec.dims[static_cast<size_t>(d)];
      const int64_t size = view.shape[d];
      if (size < dim.min || size > dim.max) {
        throw misfit(spec, "has " + std::to_string(size) + " at dim " + std::to_string(d) + ": " + shape_text(view));
      }
      if (dim.symbol.empty()) continue;
      int64_t value = 0;
      if (__builtin_sub_overflow(size, dim.offset, &value) || value % dim.factor != 0) {
        throw misfit(spec, "has " + std::to_string(size) + " at dim " + std::to_string(d) + ": " + shape_text(view));
      }
      value /= dim.factor;
      const auto first =
          std::find_if(uses.begin(), uses.end(), [&](const Use& use) { return symbol_of(*use.dim) == symbol_of(dim); });
      if (first == uses.end()) {
        uses.push_back({&dim, value, size, i, d});
      } else if (first->value != value) {
        const std::string& other = first->dim->symbol;
        throw usage_error(where(i, d) + " is " + std::to_string(size) + " and " + where(first->input, first->index) +
                              " is " + std::to_string(first->size),
                          other == dim.symbol
                              ? "The model was exported with one size, " + dim.symbol + ", for both."
                              : "The model was exported with the sizes " + dim.symbol + " and " + other + " for them.",
                          "Pass arrays that agree.");
      }
    }
  }
}

}  // namespace aot
