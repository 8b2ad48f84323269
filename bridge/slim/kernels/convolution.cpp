#include "kernels/convolution.h"

#ifdef __x86_64__
#include <cpuid.h>

#include <utility>

#endif

#include "kernels/matrix/convolution.h"
#include "kernels/panels.h"
#include "tensor/iterate.h"

namespace slim {
namespace {

bool channels_last(MemoryFormat format) {
  return format == MemoryFormat::kChannelsLast || format == MemoryFormat::kChannelsLast3d;
}

MemoryFormat channels_last_of(int64_t dims) {
  return dims == 4 ? MemoryFormat::kChannelsLast : MemoryFormat::kChannelsLast3d;
}

// One number for all dims stands for each of them.
Dims per_dim(const Dims& values, size_t dims, const char* what) {
  if (values.size() == 1) return Dims(dims, values[0]);
  require(values.size() == dims, what, " ", to_string(values), " for ", dims, " spatial dims");
  return values;
}

Dims output_sizes(const Tensor& input, int64_t channels, const Dims& kernel, const Convolution& how) {
  Dims sizes = input.sizes;
  sizes[1] = channels;
  for (size_t d = 0; d < kernel.size(); ++d) {
    const int64_t reach = how.dilation[d] * (kernel[d] - 1);
    const int64_t size = input.sizes[d + 2];
    sizes[d + 2] = how.transposed ? (size - 1) * how.stride[d] - 2 * how.padding[d] + reach + 1 + how.output_padding[d]
                                  : (size + 2 * how.padding[d] - reach - 1) / how.stride[d] + 1;
    require(how.transposed ? sizes[d + 2] > 0 : size + 2 * how.padding[d] > reach, "a kernel of ", to_string(kernel),
            " does not fit an input of ", to_string(input.sizes));
  }
  return sizes;
}

// An ordinary weight as [groups, out, in, kernel].
Tensor ordered(const Tensor& weight, const Convolution& how) {
  Dims sizes = weight.sizes;
  Dims strides = weight.strides;
  sizes[0] /= how.groups;
  sizes.insert(0, how.groups);
  strides.insert(0, sizes[1] * weight.strides[0]);
  const Tensor grouped = view_as(weight, sizes, strides, weight.offset);
  return how.transposed ? transpose(grouped, 1, 2) : grouped;
}

matrix::Geometry geometry_of(const Tensor& input, const Tensor& out, const Dims& kernel, const Convolution& how) {
  matrix::Geometry geometry{};
  if (input.dtype == ScalarType::BFloat16) geometry.numbers = matrix::Numbers::kBfloat16;
  geometry.batch = input.sizes[0];
  geometry.groups = how.groups;
  geometry.inputs = input.sizes[1] / how.groups;
  geometry.outputs = out.sizes[1] / how.groups;
  geometry.transposed = how.transposed;
  const size_t missing = matrix::kPlaces - kernel.size();
  for (size_t d = 0; d < matrix::kPlaces; ++d) {
    geometry.in[d] = geometry.out[d] = geometry.kernel[d] = geometry.stride[d] = geometry.dilation[d] = 1;
    if (d < missing) continue;
    const size_t from = d - missing;
    geometry.in[d] = input.sizes[from + 2];
    geometry.out[d] = out.sizes[from + 2];
    geometry.kernel[d] = kernel[from];
    geometry.stride[d] = how.stride[from];
    geometry.padding[d] = how.padding[from];
    geometry.dilation[d] = how.dilation[from];
  }
  return geometry;
}

matrix::Steps steps_of(const Tensor& picture) {
  matrix::Steps steps{};
  steps.batch = picture.strides[0];
  steps.channel = picture.sizes[1] == 1 ? 1 : picture.strides[1];
  const size_t spatial = picture.sizes.size() - 2;
  for (size_t d = 0; d < spatial; ++d) steps.place[matrix::kPlaces - spatial + d] = picture.strides[d + 2];
  return steps;
}

void convolve_floats(const Tensor& input, const Tensor& weight, const Tensor* bias, const Tensor& out,
                     const Dims& kernel, const Convolution& how) {
  const matrix::Geometry geometry = geometry_of(input, out, kernel, how);
  const bool halves = input.dtype == ScalarType::BFloat16;
  const MemoryFormat last = channels_last_of(input.dim());
  const bool apart = geometry.is_depthwise() && input.sizes[1] > 1 && input.strides[1] != 1;
  const bool turned = apart || (halves && !input.is_contiguous(last));
  const Tensor source = turned ? empty(input.sizes, input.dtype, last) : input;
  if (turned) copy(source, input);
  const Dims steps = halves ? strides_of(source.sizes, last) : source.strides;  // those of dims of 1 may be odd
  Storage made;
  const bool packed = weight.layout == Layout::kMkldnn;
  const void* panels = packed ? panels_of(weight, geometry) : fresh_panels(ordered(weight, how), geometry, made);
  matrix::Result result = how.fused;
  const Tensor added = bias ? contiguous(to(*bias, out.dtype)) : Tensor();  // torch takes one of another dtype at times
  if (bias) result.bias = added.data<float>();
  result.out = out.data<float>();
  Tensor other;
  if (how.other) {
    other = expand(*how.other, out.sizes);
    if (other.strides != out.strides || other.dtype != out.dtype) {
      other = empty_strided(out.sizes, out.strides, out.dtype);
      copy(other, *how.other);
    }
    result.other = other.data<float>();
  }
  matrix::convolve(geometry, source.raw(), steps_of(view_as(source, source.sizes, steps, source.offset)), panels,
                   steps_of(out), result);
}

// Doubles. Each output element sums over the inputs that reach it.
void convolve_doubles(const Tensor& input, const Tensor& weight, const Tensor* bias, const Tensor& out,
                      const Dims& kernel, const Convolution& how) {
  const size_t spatial = kernel.size();
  const int64_t in_per_group = input.sizes[1] / how.groups;
  const int64_t out_per_group = out.sizes[1] / how.groups;
  const Tensor w = ordered(weight, how);
  const Tensor added = bias ? contiguous(to(*bias, out.dtype)) : Tensor();
  const int64_t taps = count(kernel);
  const auto* x = input.data<double>();
  const auto* k = w.data<double>();
  auto* y = out.data<double>();
  parallel_for(0, out.numel(), 64, [&](int64_t begin, int64_t end) {
    Dims place(out.sizes.size());
    for (int64_t i = begin; i < end; ++i) {
      int64_t rest = i;
      for (size_t d = place.size(); d-- > 0;) {
        place[d] = rest % out.sizes[d];
        rest /= out.sizes[d];
      }
      const int64_t group = place[1] / out_per_group;
      double sum = bias ? added.data<double>()[place[1]] : 0;
      for (int64_t tap = 0; tap < taps; ++tap) {
        int64_t x_at = place[0] * input.strides[0] + group * in_per_group * input.strides[1];
        int64_t k_at = group * w.strides[0] + place[1] % out_per_group * w.strides[1];
        bool inside = true;
        int64_t left = tap;
        for (size_t d = spatial; d-- > 0 && inside;) {
          const int64_t t = left % kernel[d];
          left /= kernel[d];
          int64_t at = 0;
          if (how.transposed) {
            at = place[d + 2] + how.padding[d] - t * how.dilation[d];
            inside = at % how.stride[d] == 0;
            at /= how.stride[d];
          } else {
            at = place[d + 2] * how.stride[d] - how.padding[d] + t * how.dilation[d];
          }
          inside = inside && at >= 0 && at < input.sizes[d + 2];
          x_at += at * input.strides[d + 2];
          k_at += t * w.strides[3 + d];
        }
        for (int64_t c = 0; inside && c < in_per_group; ++c)
          sum += x[x_at + c * input.strides[1]] * k[k_at + c * w.strides[2]];
      }
      int64_t y_at = 0;
      for (size_t d = 0; d < place.size(); ++d) y_at += place[d] * out.strides[d];
      y[y_at] = sum;
    }
  });
}

void convolve_into(const Tensor& out, const Tensor& input, const Tensor& weight, const Tensor* bias, const Dims& kernel,
                   const Convolution& how) {
  if (out.numel() == 0) return;
  if (input.numel() == 0) return zero(out);
  if (out.dtype == ScalarType::Double) {
    require(how.fused.binary == matrix::Binary::kNone && how.fused.unary == matrix::Unary::kNone &&
                weight.layout == Layout::kStrided,
            "a fused convolution of float64");
    return convolve_doubles(input, weight, bias, out, kernel, how);
  }
  if (out.dtype == ScalarType::Float) return convolve_floats(input, weight, bias, out, kernel, how);
  // In float32, rounded once.
  constexpr ScalarType kWide = ScalarType::Float;
  Convolution wide = how;
  const Tensor result = empty_like(out, kWide);
  const Tensor wide_bias = bias ? to(*bias, kWide) : Tensor();
  const Tensor other = how.other ? to(*how.other, kWide) : Tensor();
  if (how.other) wide.other = &other;
  // Pairs of inputs are multiplied at once where there are instructions for them.
  const int64_t inputs = input.sizes[1] / how.groups;
  const bool halves = out.dtype == ScalarType::BFloat16 && inputs % 2 == 0 && matrix::has_bfloat16();
  const Tensor w = halves || weight.layout == Layout::kMkldnn ? weight : to(weight, kWide);
  convolve_floats(halves ? input : to(input, kWide), w, bias ? &wide_bias : nullptr, result, kernel, wide);
  copy(out, result);
}

// Whether torch takes this machine to have instructions for a half type.
bool has_instructions_for(ScalarType dtype) {
#ifdef __x86_64__
  __builtin_cpu_init();
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  const bool wide =
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const bool float16 = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & (1U << 23)) != 0;
  const bool converts = __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (d & (1U << 5)) != 0;
  return converts || (wide && (dtype == ScalarType::BFloat16 || float16));
#else
  return dtype != ScalarType::Half && dtype != ScalarType::BFloat16;
#endif
}

// Whether torch would convolve an input with oneDNN rather than with its own loops.
bool torch_takes_onednn(const Tensor& input, const Tensor& weight, const Convolution& how) {
  const Dims& x = input.sizes;
  const Dims& w = weight.sizes;
  if (input.dtype == ScalarType::Double) return false;
  for (size_t d = 0; d < how.stride.size(); ++d) {
    if (how.transposed && how.output_padding[d] >= how.stride[d]) return false;
  }
  if (input.dtype != ScalarType::Float) return has_instructions_for(input.dtype);
  return how.groups > 1 || (w.back() > 3 && w[w.size() - 2] > 3) || x[0] > 1 || x[0] * x[1] * x[2] * x[3] > 20480;
}

// Torch's rule: channels last where the input or the weight is, and for packed weights. Its own loops over three dims
// know only contiguous results.
MemoryFormat output_format(const Tensor& input, const Tensor& weight, const Convolution& how) {
  const bool packed = weight.layout == Layout::kMkldnn;
  const bool last =
      packed || channels_last(suggest_memory_format(input)) || channels_last(suggest_memory_format(weight));
  const bool knows = packed || input.dim() == 4 || torch_takes_onednn(input, weight, how);
  return last && knows ? channels_last_of(input.dim()) : MemoryFormat::kContiguous;
}

}  // namespace

Tensor convolve(const Tensor& input, const Tensor& weight, const Tensor* bias, Convolution how) {
  require(input.dtype == weight.dtype && is_floating(input.dtype), "a convolution of ", dtype_name(input.dtype),
          " with weights of ", dtype_name(weight.dtype));
  if (input.dim() == weight.dim() - 1) return squeeze(convolve(unsqueeze(input, 0), weight, bias, std::move(how)), 0);
  require(input.dim() == weight.dim() && input.dim() >= 3 && input.dim() <= 5, "a convolution of ", input.dim(),
          " dims with weights of ", weight.dim());
  const auto spatial = static_cast<size_t>(input.dim() - 2);
  how.stride = per_dim(how.stride, spatial, "stride");
  how.padding = per_dim(how.padding, spatial, "padding");
  how.dilation = per_dim(how.dilation, spatial, "dilation");
  how.output_padding =
      how.output_padding.empty() ? Dims(spatial) : per_dim(how.output_padding, spatial, "output padding");
  for (size_t d = 0; d < spatial; ++d) {
    require(how.stride[d] > 0 && how.dilation[d] > 0 && how.padding[d] >= 0, "stride ", to_string(how.stride),
            ", dilation ", to_string(how.dilation), ", padding ", to_string(how.padding));
  }
  require(how.groups > 0 && input.sizes[1] % how.groups == 0, input.sizes[1], " channels in ", how.groups, " groups");
  if (spatial == 1) {  // as a picture of height 1
    how.stride.insert(0, 1);
    how.padding.insert(0, 0);
    how.dilation.insert(0, 1);
    how.output_padding.insert(0, 0);
    require(how.other == nullptr && weight.layout == Layout::kStrided,
            "fused convolutions of one dim are not known here");
    // Torch does so too, and the result's strides follow from it.
    return squeeze(convolve(unsqueeze(contiguous(input), 2), unsqueeze(weight, 2), bias, std::move(how)), 2);
  }
  // A packed weight of a transposed convolution keeps the sizes out, in; an ordinary one has in, out.
  const bool swapped = how.transposed && weight.layout == Layout::kStrided;
  const int64_t in = swapped ? weight.sizes[0] : weight.sizes[1] * how.groups;
  const int64_t channels = swapped ? weight.sizes[1] * how.groups : weight.sizes[0];
  require(in == input.sizes[1] && channels % how.groups == 0, "weights of ", to_string(weight.sizes), " in ",
          how.groups, " groups on an input of ", to_string(input.sizes));
  require(bias == nullptr || bias->numel() == channels, "a bias of ", bias ? bias->numel() : 0, " for ", channels,
          " channels");
  const Dims kernel(weight.sizes.begin() + 2, spatial);
  const Dims sizes = output_sizes(input, channels, kernel, how);
  Tensor out = how.in_place ? *how.other : empty(sizes, input.dtype, output_format(input, weight, how));
  require(out.sizes == sizes && out.dtype == input.dtype, "a convolution into ", to_string(out.sizes), " makes ",
          to_string(sizes));
  convolve_into(out, input, weight, bias, kernel, how);
  return out;
}

}  // namespace slim
