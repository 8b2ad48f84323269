#include <torch/csrc/inductor/aoti_torch/generated/c_shim_aten.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <optional>

#include "tensor/lanes.h"

using namespace slim;

namespace {

Tensor slice(const Tensor& self, int64_t dim, std::optional<int64_t> start, std::optional<int64_t> end, int64_t step) {
  require(self.dim() > 0, "a slice of a tensor without dims");
  require(step > 0, "step of ", step, " in a slice");
  const size_t d = self.wrap(dim);
  const int64_t size = self.sizes[d];
  auto within = [size](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size); };
  const int64_t first = within(start.value_or(0));
  const int64_t last = std::max(first, within(end.value_or(size)));
  Tensor view = self;
  view.offset += first * self.strides[d];
  view.sizes[d] = (last - first + step - 1) / step;
  view.strides[d] *= step;
  return view;
}

// The same bytes as another dtype: the last dim shrinks or grows where sizes differ, and must be dense then.
Tensor view_dtype(const Tensor& self, ScalarType dtype) {
  const auto from = static_cast<int64_t>(self.itemsize());
  const auto to = static_cast<int64_t>(element_size(dtype));
  Tensor view = self;
  view.dtype = dtype;
  if (from == to) return view;
  require(self.dim() > 0 && self.strides.back() == 1, "a view as ", dtype_name(dtype),
          " needs a last dim without gaps");
  const size_t last = self.sizes.size() - 1;
  if (from > to) {
    const int64_t parts = from / to;
    view.sizes[last] *= parts;
    view.offset *= parts;
    for (size_t d = 0; d < last; ++d) view.strides[d] *= parts;
    return view;
  }
  const int64_t parts = to / from;
  auto joined = [&](int64_t value, const char* what) {
    require(value % parts == 0, what, " ", value, " is no multiple of ", parts, ", which a view as ", dtype_name(dtype),
            " needs");
    return value / parts;
  };
  view.sizes[last] = joined(self.sizes[last], "last size");
  view.offset = joined(self.offset, "offset");
  for (size_t d = 0; d < last; ++d) view.strides[d] = joined(self.strides[d], "stride");
  return view;
}

// [..., 2] real numbers as complex ones.
Tensor view_as_complex(const Tensor& self) {
  require(self.dtype == ScalarType::Float || self.dtype == ScalarType::Double || self.dtype == ScalarType::Half,
          "a complex view of ", dtype_name(self.dtype));
  require(self.dim() > 0 && self.sizes.back() == 2 && self.strides.back() == 1,
          "a complex view needs pairs in the last dim, not shape ", to_string(self.sizes), " with strides ",
          to_string(self.strides));
  Tensor view = self;
  view.dtype = self.dtype == ScalarType::Float    ? ScalarType::ComplexFloat
               : self.dtype == ScalarType::Double ? ScalarType::ComplexDouble
                                                  : ScalarType::ComplexHalf;
  view.sizes.erase(view.sizes.size() - 1);
  view.strides.erase(view.strides.size() - 1);
  bool even = view.offset % 2 == 0;
  for (int64_t& stride : view.strides) {
    even = even && stride % 2 == 0;
    stride /= 2;
  }
  require(even, "a complex view needs even strides and offset, not ", to_string(self.strides), " at ", self.offset);
  view.offset /= 2;
  return view;
}

// Complex numbers as [..., 2] real ones.
Tensor view_as_real(const Tensor& self) {
  require(is_complex(self.dtype), "a real view of ", dtype_name(self.dtype), ", which is no complex dtype");
  Tensor view = self;
  view.dtype = self.dtype == ScalarType::ComplexFloat    ? ScalarType::Float
               : self.dtype == ScalarType::ComplexDouble ? ScalarType::Double
                                                         : ScalarType::Half;
  for (int64_t& stride : view.strides) stride *= 2;
  view.offset *= 2;
  view.sizes.push_back(2);
  view.strides.push_back(1);
  return view;
}

// In place: another size over the same storage, which grows where it must; the elements keep their places in memory.
void resize(Tensor& self, const Dims& sizes, std::optional<MemoryFormat> format) {
  if (self.sizes == sizes && !format) return;
  const Dims strides = strides_of(sizes, format.value_or(MemoryFormat::kContiguous));
  self.storage.grow(bytes_needed(sizes, strides, self.offset, self.itemsize()));
  self.sizes = sizes;
  self.strides = strides;
}

std::optional<MemoryFormat> memory_format(const int32_t* format) {
  if (format == nullptr) return std::nullopt;
  return static_cast<MemoryFormat>(*format);
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_permute(AtenTensorHandle self, const int64_t* dims, int64_t dims_len_,
                                      AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(permute(get(self), list(dims, dims_len_))); });
}

AOTITorchError aoti_torch_cpu_slice_Tensor(AtenTensorHandle self, int64_t dim, int64_t* start, int64_t* end,
                                           int64_t step, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(slice(get(self), dim, optional(start), optional(end), step)); });
}

AOTITorchError aoti_torch_cpu_squeeze_dim(AtenTensorHandle self, int64_t dim, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(squeeze(get(self), dim)); });
}

AOTITorchError aoti_torch_cpu_narrow(AtenTensorHandle self, int64_t dim, int64_t start, int64_t length,
                                     AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(narrow(get(self), dim, start, length)); });
}

AOTITorchError aoti_torch_aten_narrow(AtenTensorHandle self, int64_t dim, int64_t start, int64_t length,
                                      AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(narrow(get(self), dim, start, length)); });
}

AOTITorchError aoti_torch_cpu_reshape(AtenTensorHandle self, const int64_t* shape, int64_t shape_len_,
                                      AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(reshape(get(self), list(shape, shape_len_))); });
}

AOTITorchError aoti_torch_cpu_view_dtype(AtenTensorHandle self, int32_t dtype, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(view_dtype(get(self), static_cast<ScalarType>(dtype))); });
}

AOTITorchError aoti_torch_cpu_view_as_complex(AtenTensorHandle self, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(view_as_complex(get(self))); });
}

AOTITorchError aoti_torch_cpu_view_as_real(AtenTensorHandle self, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(view_as_real(get(self))); });
}

AOTITorchError aoti_torch_cpu_resize_(AtenTensorHandle self, const int64_t* size, int64_t size_len_, int32_t* format) {
  return guard(__func__, [&] {
    get(self);
    resize(self->tensor, list(size, size_len_), memory_format(format));
  });
}

AOTITorchError aoti_torch_cpu_resize_as_(AtenTensorHandle self, AtenTensorHandle the_template, int32_t* format) {
  return guard(__func__, [&] {
    get(self);
    std::optional<MemoryFormat> wanted = memory_format(format);
    if (wanted == MemoryFormat::kPreserve) wanted = suggest_memory_format(get(the_template));
    resize(self->tensor, get(the_template).sizes, wanted);
  });
}

AOTITorchError aoti_torch_cpu_set__source_Tensor(AtenTensorHandle self, AtenTensorHandle source) {
  return guard(__func__, [&] {
    require(get(self).dtype == get(source).dtype, "set_ of ", dtype_name(get(source).dtype), " to ",
            dtype_name(get(self).dtype));
    self->tensor = get(source);
  });
}
}
