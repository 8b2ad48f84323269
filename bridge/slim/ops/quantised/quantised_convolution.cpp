// Convolutions of bytes: patches of a picture, channels last, times panels of weights; depthwise ones channel by
// channel.
#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/fused.h"
#include "kernels/panels.h"
#include "kernels/quantised.h"
#include "tensor/packed.h"
#include "threads/parallel.h"

using namespace slim;

namespace {

constexpr size_t kPlaces = 3;  // spatial dims; those that are missing have size 1

// A convolution in three spatial dims, channels last.
struct Geometry {
  int64_t batch, groups, inputs, outputs;  // channels in a group
  int64_t in[kPlaces], out[kPlaces], kernel[kPlaces], stride[kPlaces], padding[kPlaces], dilation[kPlaces];

  int64_t channels() const { return groups * inputs; }
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t depth() const { return taps() * inputs; }
  int64_t pixels() const { return batch * out[0] * out[1] * out[2]; }
  bool is_depthwise() const { return groups > 1 && inputs == 1 && outputs == 1; }
  // Whether the patches are the picture itself.
  bool is_pointwise() const {
    for (size_t d = 0; d < kPlaces; ++d) {
      if (kernel[d] != 1 || stride[d] != 1 || padding[d] != 0) return false;
    }
    return groups == 1;
  }
};

struct Arguments {
  Dims stride;
  Dims padding;
  Dims dilation;
  int64_t groups;
};

Dims output_sizes(const Tensor& x, const Tensor& w, const Arguments& how) {
  require(w.layout == Layout::kMkldnn && w.dtype == ScalarType::Char && x.dim() >= 3 && x.dim() <= 5 &&
              w.dim() == x.dim() && how.groups > 0,
          "a quantised convolution of weights ", to_string(w.sizes), " on ", to_string(x.sizes));
  const size_t spatial = x.sizes.size() - 2;
  require(w.sizes[1] * how.groups == x.sizes[1] && w.sizes[0] % how.groups == 0, "weights of ", to_string(w.sizes),
          " in ", how.groups, " groups on an input of ", to_string(x.sizes));
  require(how.stride.size() == spatial && how.padding.size() == spatial && how.dilation.size() == spatial,
          "stride, padding and dilation for ", how.stride.size(), " dims of ", spatial);
  Dims sizes = x.sizes;
  sizes[1] = w.sizes[0];
  for (size_t d = 0; d < spatial; ++d) {
    require(how.stride[d] > 0 && how.dilation[d] > 0 && how.padding[d] >= 0, "stride ", to_string(how.stride),
            ", dilation ", to_string(how.dilation), ", padding ", to_string(how.padding));
    const int64_t room = x.sizes[d + 2] + 2 * how.padding[d] - how.dilation[d] * (w.sizes[d + 2] - 1) - 1;
    require(room >= 0, "a kernel of ", to_string(w.sizes), " does not fit an input of ", to_string(x.sizes));
    sizes[d + 2] = room / how.stride[d] + 1;
  }
  return sizes;
}

Geometry geometry_of(const Tensor& x, const Tensor& w, const Dims& sizes, const Arguments& how) {
  Geometry g{};
  g.batch = x.sizes[0];
  g.groups = how.groups;
  g.inputs = w.sizes[1];
  g.outputs = w.sizes[0] / how.groups;
  const size_t missing = kPlaces + 2 - x.sizes.size();
  for (size_t d = 0; d < kPlaces; ++d) {
    g.in[d] = g.out[d] = g.kernel[d] = g.stride[d] = g.dilation[d] = 1;
    if (d < missing) continue;
    const size_t from = d - missing;
    g.in[d] = x.sizes[from + 2];
    g.out[d] = sizes[from + 2];
    g.kernel[d] = w.sizes[from + 2];
    g.stride[d] = how.stride[from];
    g.padding[d] = how.padding[from];
    g.dilation[d] = how.dilation[from];
  }
  return g;
}

// Panels of each group and what each column sums up to; of depthwise weights [taps][channels] and no sums.
struct Weights {
  const char* data;
  int64_t panel_bytes;  // of a group
  const int32_t* sums;
};

void arrange(const Geometry& g, const int8_t* plain, int64_t panel_bytes, char* to) {
  const int64_t taps = g.taps();
  const int64_t depth = g.depth();
  if (g.is_depthwise()) {
    for (int64_t c = 0; c < g.groups; ++c) {
      for (int64_t tap = 0; tap < taps; ++tap) to[tap * g.groups + c] = static_cast<char>(plain[c * taps + tap]);
    }
    return;
  }
  std::vector<int8_t> turned(static_cast<size_t>(g.outputs * depth));  // [out][taps][in], from [out][in][taps]
  for (int64_t group = 0; group < g.groups; ++group) {
    for (int64_t o = 0; o < g.outputs; ++o) {
      const int8_t* from = plain + (group * g.outputs + o) * depth;
      for (int64_t i = 0; i < g.inputs; ++i) {
        for (int64_t tap = 0; tap < taps; ++tap)
          turned[static_cast<size_t>(o * depth + tap * g.inputs + i)] = from[i * taps + tap];
      }
    }
    matrix::pack_panels(matrix::Numbers::kUint8, {turned.data(), 1, depth}, g.outputs, depth, to + group * panel_bytes);
  }
}

Weights weights_of(const Tensor& w, const Geometry& g) {
  Opaque& opaque = *w.opaque;
  const std::lock_guard<std::mutex> lock(opaque.mutex);
  const bool depthwise = g.is_depthwise();
  const int64_t panel_bytes = depthwise ? 0 : matrix::panel_bytes(matrix::Numbers::kUint8, g.outputs, g.depth());
  if (!opaque.sums && !opaque.panels) {
    Storage made;
    if (depthwise || !lies_in_panels(w, {g.groups, g.outputs, g.inputs, g.kernel})) {
      const Tensor plain = unpacked(w);
      require(plain.numel() == g.groups * g.outputs * g.depth(), "a packed weight of sizes ", to_string(plain.sizes),
              " is used as ", to_string(w.sizes));
      made = Storage::allocate(static_cast<size_t>(depthwise ? g.taps() * g.groups : g.groups * panel_bytes));
      arrange(g, plain.data<int8_t>(), panel_bytes, static_cast<char*>(made.data()));
    }
    if (!depthwise) opaque.sums = column_sums(made ? made.data() : w.raw(), g.groups, g.outputs, g.depth());
    opaque.panels = std::move(made);
  }
  const void* data = opaque.panels ? opaque.panels.data() : w.raw();
  return {static_cast<const char*>(data), panel_bytes, static_cast<const int32_t*>(opaque.sums.data())};
}

// Places of an output pixel: picture, then spatial dims.
struct Pixel {
  Pixel(const Geometry& g, int64_t number) {
    for (size_t d = kPlaces; d-- > 0;) {
      at[d] = number % g.out[d];
      number /= g.out[d];
    }
    picture = number;
  }
  int64_t picture;
  int64_t at[kPlaces];
};

// Calls f(tap, place) for each tap of a pixel; `place` is the input's pixel, or -1 where there is padding.
template <class F>
void for_each_tap(const Geometry& g, int64_t pixel, const F& f) {
  const Pixel p(g, pixel);
  int64_t tap = 0;
  int64_t begin[kPlaces];
  for (size_t d = 0; d < kPlaces; ++d) begin[d] = p.at[d] * g.stride[d] - g.padding[d];
  for (int64_t z = begin[0]; z < begin[0] + g.kernel[0] * g.dilation[0]; z += g.dilation[0]) {
    for (int64_t y = begin[1]; y < begin[1] + g.kernel[1] * g.dilation[1]; y += g.dilation[1]) {
      const bool row = z >= 0 && z < g.in[0] && y >= 0 && y < g.in[1];
      const int64_t first = ((p.picture * g.in[0] + z) * g.in[1] + y) * g.in[2];
      for (int64_t x = begin[2]; x < begin[2] + g.kernel[2] * g.dilation[2]; x += g.dilation[2])
        f(tap++, row && x >= 0 && x < g.in[2] ? first + x : -1);
    }
  }
}

// The patch of a pixel whose taps of a line lie side by side: whole lines at once.
void gather_lines(const Geometry& g, const char* x, int64_t pixel, int zero_point, char* to) {
  const Pixel p(g, pixel);
  int64_t begin[kPlaces];
  for (size_t d = 0; d < kPlaces; ++d) begin[d] = p.at[d] * g.stride[d] - g.padding[d];
  const int64_t low = std::clamp<int64_t>(-begin[2], 0, g.kernel[2]);
  const int64_t high = std::clamp(g.in[2] - begin[2], low, g.kernel[2]);
  const auto bytes = [&](int64_t taps) { return static_cast<size_t>(taps * g.inputs); };
  for (int64_t z = begin[0]; z < begin[0] + g.kernel[0] * g.dilation[0]; z += g.dilation[0]) {
    for (int64_t y = begin[1]; y < begin[1] + g.kernel[1] * g.dilation[1]; y += g.dilation[1]) {
      const bool is_inside = z >= 0 && z < g.in[0] && y >= 0 && y < g.in[1] && low < high;
      if (!is_inside || high - low < g.kernel[2]) std::memset(to, zero_point, bytes(g.kernel[2]));
      if (is_inside) {
        const int64_t first = ((p.picture * g.in[0] + z) * g.in[1] + y) * g.in[2] + begin[2] + low;
        std::memcpy(to + low * g.inputs, x + first * g.inputs, bytes(high - low));
      }
      to += g.kernel[2] * g.inputs;
    }
  }
}

// The patch of a pixel: [taps][inputs] of a group. Padding is what stands for zero.
void gather(const Geometry& g, const char* x, int64_t pixel, int64_t group, int zero_point, char* to) {
  if (g.groups == 1 && g.dilation[2] == 1) return gather_lines(g, x, pixel, zero_point, to);
  for_each_tap(g, pixel, [&](int64_t tap, int64_t place) {
    char* at = to + tap * g.inputs;
    if (place < 0) {
      std::memset(at, zero_point, static_cast<size_t>(g.inputs));
    } else {
      std::memcpy(at, x + place * g.channels() + group * g.inputs, static_cast<size_t>(g.inputs));
    }
  });
}

// What the result is added to, before it is quantised: [pixels, channels] as it lies in memory.
struct Added {
  const Tensor* tensor = nullptr;
  Quantisation quantisation;
};

// Output pixels worked on at once.
int64_t pixels_at_once(int64_t pixels) {
  constexpr int64_t kLeast = 48;
  constexpr int64_t kMost = 192;
  return std::min(kMost, std::max(kLeast, (pixels + aot_slim_threads() - 1) / aot_slim_threads()));
}

void convolve(const Geometry& g, const Tensor& x, int32_t zero_point, const Weights& weights, const LayerEnd& end,
              const Added& added) {
  const int64_t pixels = g.pixels();
  const int64_t channels = g.groups * g.outputs;
  const int64_t some = g.is_depthwise() ? 16 : pixels_at_once(pixels);
  const int64_t tasks = (pixels + some - 1) / some;
  const auto* from = x.data<char>();
  parallel_for(0, tasks, 1, [&](int64_t begin_task, int64_t end_task) {
    std::vector<float> other(added.tensor ? static_cast<size_t>(some * channels) : 0);
    std::vector<char> patches(g.is_pointwise() || g.is_depthwise() ? 0 : static_cast<size_t>(some * g.depth()));
    std::vector<int32_t> sums(g.is_depthwise() ? static_cast<size_t>(channels) : 0);
    const auto with_other = [&](matrix::Quantised how, int64_t column, int64_t row) {
      if (added.tensor == nullptr) return how;
      how.result.binary = matrix::Binary::kAdd;
      how.result.other = other.data() + row * channels + column;
      how.result.other_row_stride = channels;
      return how;
    };
    for (int64_t task = begin_task; task < end_task; ++task) {
      const int64_t first = task * some;
      const int64_t count = std::min(some, pixels - first);
      if (added.tensor) dequantise(*added.tensor, first * channels, count * channels, added.quantisation, other.data());
      if (g.is_depthwise()) {
        for (int64_t i = 0; i < count; ++i) {
          std::fill(sums.begin(), sums.end(), 0);
          for_each_tap(g, first + i, [&](int64_t tap, int64_t place) {
            if (place < 0) return;
            matrix::add_products(from + place * channels, false, zero_point,
                                 reinterpret_cast<const int8_t*>(weights.data) + tap * channels, channels, sums.data());
          });
          matrix::finish(sums.data(), channels, 0, 1, channels, with_other(end.without_zero_point(first + i), 0, i));
        }
        continue;
      }
      for (int64_t group = 0; group < g.groups; ++group) {
        const char* left = from + first * g.channels();
        if (!g.is_pointwise()) {
          for (int64_t i = 0; i < count; ++i)
            gather(g, from, first + i, group, zero_point, patches.data() + i * g.depth());
          left = patches.data();
        }
        const int64_t column = group * g.outputs;
        matrix::multiply(matrix::Numbers::kUint8, {left, g.depth(), 1}, weights.data + group * weights.panel_bytes,
                         {count, g.outputs, g.depth()},
                         with_other(end.at(first, column, weights.sums + column), column, 0));
      }
    }
  });
  end.finish();
}

MemoryFormat channels_last_of(int64_t dims) {
  return dims == 5 ? MemoryFormat::kChannelsLast3d : MemoryFormat::kChannelsLast;
}

// [batch, spatial..., channels] in memory.
Tensor channels_last(const Tensor& x) {
  Dims order{0};
  for (int64_t d = 2; d < x.dim(); ++d) order.insert(static_cast<size_t>(d - 1), d);
  order.insert(order.size(), 1);
  return contiguous(permute(x, order));
}

// Whether any byte of two dense tensors is the same.
bool share_memory(const Tensor& a, const Tensor& b) {
  const auto begin = [](const Tensor& t) { return reinterpret_cast<uintptr_t>(t.raw()); };
  const auto bytes = [](const Tensor& t) { return static_cast<uintptr_t>(t.numel()) * t.itemsize(); };
  return begin(a) < begin(b) + bytes(b) && begin(b) < begin(a) + bytes(a);
}

// An empty result whose memory is channels last, whatever torch says its dims are.
Tensor empty_result(const Dims& sizes, ScalarType dtype) {
  if (sizes.size() > 3) return empty(sizes, dtype, channels_last_of(static_cast<int64_t>(sizes.size())));
  return transpose(empty({sizes[0], sizes[2], sizes[1]}, dtype), 1, 2);
}

struct Request {
  const Tensor& x;
  Quantisation of_x;
  const Tensor& w;
  const Tensor& weight_scales;
  const Tensor& weight_zero_points;
  const Tensor* bias;
  Arguments how;
  Quantisation of_result;
  std::optional<ScalarType> dtype;
};

Tensor convolution(const Request& r, const matrix::Result& fused, const Tensor* accumulator, Quantisation of_it) {
  // On some machines oneDNN packs halves of weights for int8.
  require(r.x.dtype == ScalarType::Byte, "a quantised convolution on ", dtype_name(r.x.dtype));
  const Dims sizes = output_sizes(r.x, r.w, r.how);
  const ScalarType dtype = r.dtype.value_or(r.x.dtype);
  check_weights(r.weight_scales, r.weight_zero_points, r.w.sizes[0]);
  require(accumulator == nullptr || (accumulator->sizes == sizes && accumulator->dtype == dtype),
          "a quantised convolution added to ", accumulator ? dtype_name(accumulator->dtype) : "", " makes ",
          dtype_name(dtype), " ", to_string(sizes));
  const Tensor x = channels_last(r.x);
  const Tensor other = accumulator ? channels_last(*accumulator) : Tensor();
  // Each pixel is read before it is written; but the input is read for other pixels too.
  const bool in_place = accumulator != nullptr && other.raw() == accumulator->raw() && !share_memory(x, other);
  Tensor out = in_place ? *accumulator : empty_result(sizes, dtype);
  const Geometry g = geometry_of(r.x, r.w, sizes, r.how);
  if (out.numel() == 0) return out;
  const LayerEnd end(r.of_x, r.weight_scales, r.bias, r.w.sizes[0], fused, out, r.of_result);
  convolve(g, x, r.of_x.zero_point, weights_of(r.w, g), end, {accumulator ? &other : nullptr, of_it});
  if (accumulator == nullptr || in_place) return out;
  copy(*accumulator, out);
  return *accumulator;
}

// Along one dim, for which torch packs weights as those of pictures of one row.
Tensor convolution_of_lines(const Request& r, const matrix::Result& fused) {
  require(r.how.stride.size() == 1 && r.how.padding.size() == 1 && r.how.dilation.size() == 1,
          "stride, padding and dilation for ", r.how.stride.size(), " dims of 1");
  require(fused.unary == matrix::Unary::kNone || fused.unary == matrix::Unary::kRelu,
          "a quantised convolution along one dim fused with another function than relu");
  Arguments how = r.how;
  how.stride.insert(0, 1);
  how.padding.insert(0, 0);
  how.dilation.insert(0, 1);
  const Tensor x = unsqueeze(r.x, 2);
  const Request picture{x, r.of_x, r.w, r.weight_scales, r.weight_zero_points, r.bias, how, r.of_result, r.dtype};
  return select(convolution(picture, fused, nullptr, {}), 2, 0);
}

Quantisation as_quantisation(double scale, int64_t zero_point) {
  return {static_cast<float>(scale), static_cast<int32_t>(zero_point)};
}

Arguments arguments(const int64_t* stride, int64_t strides, const int64_t* padding, int64_t paddings,
                    const int64_t* dilation, int64_t dilations, int64_t groups) {
  return {Dims(stride, static_cast<size_t>(strides)), Dims(padding, static_cast<size_t>(paddings)),
          Dims(dilation, static_cast<size_t>(dilations)), groups};
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu__qconv_pointwise_tensor(
    AtenTensorHandle X, AtenTensorHandle act_scale, AtenTensorHandle act_zero_point, AtenTensorHandle onednn_weight,
    AtenTensorHandle weight_scales, AtenTensorHandle weight_zero_points, AtenTensorHandle* B, const int64_t* stride,
    int64_t stride_len_, const int64_t* padding, int64_t padding_len_, const int64_t* dilation, int64_t dilation_len_,
    int64_t groups, double output_scale, int64_t output_zero_point, const int32_t* output_dtype, const char* attr,
    const double** post_op_args, int64_t post_op_args_len_, const char** algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    matrix::Result fused;
    fuse_unary(fused, attr, post_op_args, post_op_args_len_, algorithm);
    const Request request{get(X),
                          quantisation_of(get(act_scale), get(act_zero_point)),
                          get(onednn_weight),
                          get(weight_scales),
                          get(weight_zero_points),
                          get_optional(B),
                          arguments(stride, stride_len_, padding, padding_len_, dilation, dilation_len_, groups),
                          as_quantisation(output_scale, output_zero_point),
                          optional_dtype(output_dtype)};
    const bool of_lines = request.x.dim() == 3 && request.w.dim() == 4;
    *ret0 = give(of_lines ? convolution_of_lines(request, fused) : convolution(request, fused, nullptr, {}));
  });
}

// "sum": the result replaces what it is added to.
AOTITorchError aoti_torch_cpu__qconv2d_pointwise_binary_tensor(
    AtenTensorHandle X, AtenTensorHandle act_scale, AtenTensorHandle act_zero_point, AtenTensorHandle onednn_weight,
    AtenTensorHandle weight_scales, AtenTensorHandle weight_zero_points, AtenTensorHandle accum, AtenTensorHandle* B,
    const int64_t* stride_args, int64_t stride_len_, const int64_t* padding_args, int64_t padding_len_,
    const int64_t* dilation_args, int64_t dilation_len_, int64_t groups, double output_scale, int64_t output_zero_point,
    const int32_t* output_dtype, double accum_scale, int64_t accum_zero_point, const char* binary_attr, double* alpha,
    const char** unary_attr, const double** unary_scalars, int64_t unary_scalars_len_, const char** unary_algorithm,
    AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const std::string_view kind = binary_attr == nullptr ? "none" : binary_attr;
    require(kind == "sum" && optional(alpha).value_or(1) == 1, "a quantised convolution fused with ", kind,
            " of factor ", optional(alpha).value_or(1));
    matrix::Result fused;
    fuse_unary(fused, unary_attr ? *unary_attr : nullptr, unary_scalars, unary_scalars_len_, unary_algorithm);
    const Request request{
        get(X),
        quantisation_of(get(act_scale), get(act_zero_point)),
        get(onednn_weight),
        get(weight_scales),
        get(weight_zero_points),
        get_optional(B),
        arguments(stride_args, stride_len_, padding_args, padding_len_, dilation_args, dilation_len_, groups),
        as_quantisation(output_scale, output_zero_point),
        optional_dtype(output_dtype)};
    *ret0 = give(convolution(request, fused, &get(accum), as_quantisation(accum_scale, accum_zero_point)));
  });
}
}
