#include "convolution.h"

#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <string_view>

#include "tensor/iterate.h"
#include "tensor/lanes.h"
#include "tensor/packed.h"

using namespace slim;

namespace slim::onednn {
namespace {

bool channels_last(MemoryFormat format) {
  return format == MemoryFormat::kChannelsLast || format == MemoryFormat::kChannelsLast3d;
}

MemoryFormat channels_last_of(int64_t dims) {
  return dims == 4 ? MemoryFormat::kChannelsLast : MemoryFormat::kChannelsLast3d;
}

Tensor in_format(const Tensor& self, MemoryFormat format) {
  if (self.is_contiguous(format)) return view_as(self, self.sizes, strides_of(self.sizes, format), self.offset);
  Tensor copied = empty(self.sizes, self.dtype, format);
  if (self.is_dense()) {
    reorder(wrap(self), wrap(copied));  // oneDNN turns dims around in registers
  } else {
    copy(copied, self);
  }
  return copied;
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

// The weight as oneDNN numbers its dims: [groups,] out, in, kernel.
Tensor ordered(const Tensor& weight, const Convolution& how) {
  if (how.groups == 1) return how.transposed ? transpose(weight, 0, 1) : weight;
  Dims sizes = weight.sizes;
  Dims strides = weight.strides;
  sizes[0] /= how.groups;
  sizes.insert(0, how.groups);
  strides.insert(0, sizes[1] * weight.strides[0]);
  const Tensor grouped = view_as(weight, sizes, strides, weight.offset);
  return how.transposed ? transpose(grouped, 1, 2) : grouped;
}

struct Plan {
  memory::desc source;
  memory::desc weights;
  memory::desc result;
  dnnl::primitive primitive;
};

memory::dims as_dims(const Dims& values) { return {values.begin(), values.end()}; }

// A plan without a primitive where oneDNN has no kernel: half types need instructions that not all machines have.
Plan make_plan(const memory::desc& source, const memory::desc& weights, const memory::desc& bias,
               const memory::desc& result, const Dims& input_sizes, const Dims& result_sizes, const Dims& kernel,
               const Convolution& how) {
  dnnl::post_ops ops;
  if (how.in_place) {
    ops.append_sum(1);
  } else if (how.binary != nullptr) {
    append_binary(ops, how.binary, desc_of(*how.other));
  }
  append(ops, how.unary);
  const dnnl::primitive_attr attributes = onednn::attributes(ops);
  const auto kind = dnnl::prop_kind::forward_inference;
  memory::dims stride = as_dims(how.stride);
  memory::dims before = as_dims(how.padding);
  memory::dims dilation;  // oneDNN counts the elements left out
  memory::dims after;     // what makes the sizes come out
  for (size_t d = 0; d < kernel.size(); ++d) {
    dilation.push_back(how.dilation[d] - 1);
    const int64_t reach = how.dilation[d] * (kernel[d] - 1);
    const int64_t wide = how.transposed ? result_sizes[d + 2] : input_sizes[d + 2];
    const int64_t narrow = how.transposed ? input_sizes[d + 2] : result_sizes[d + 2];
    after.push_back((narrow - 1) * how.stride[d] + reach + 1 - wide - how.padding[d]);
  }
  if (how.transposed) {
    const auto algorithm = dnnl::algorithm::deconvolution_direct;
    const auto description =
        bias ? dnnl::deconvolution_forward::primitive_desc(engine(), kind, algorithm, source, weights, bias, result,
                                                           stride, dilation, before, after, attributes, true)
             : dnnl::deconvolution_forward::primitive_desc(engine(), kind, algorithm, source, weights, result, stride,
                                                           dilation, before, after, attributes, true);
    if (!description) return {};
    return {description.src_desc(), description.weights_desc(), description.dst_desc(),
            dnnl::deconvolution_forward(description)};
  }
  const auto algorithm = dnnl::algorithm::convolution_direct;
  const auto describe = [&](const memory::desc& from, const memory::desc& to) {
    return bias ? dnnl::convolution_forward::primitive_desc(engine(), kind, algorithm, from, weights, bias, to, stride,
                                                            dilation, before, after, attributes, true)
                : dnnl::convolution_forward::primitive_desc(engine(), kind, algorithm, from, weights, to, stride,
                                                            dilation, before, after, attributes, true);
  };
  auto description = describe(source, result);
  if (!description) return {};
  // On AVX2, oneDNN 3.2 has two kernels for one tap, channels last. The newer comes first; the older took 0.7 to 1.05
  // of its time for 25 shapes as in ResNet and MobileNet, 0.9 for all of them.
  if (description.impl_info_str() == std::string_view("brgconv_1x1:avx2")) {
    auto other = describe(description.src_desc(), description.dst_desc());
    while (other.next_impl()) {
      if (other.impl_info_str() == std::string_view("jit_1x1:avx2")) {
        description = other;
        break;
      }
    }
  }
  return {description.src_desc(), description.weights_desc(), description.dst_desc(),
          dnnl::convolution_forward(description)};
}

// A free layout: oneDNN's choice, but for blocks of 16 channels where AVX-512 works on them. Left to itself oneDNN 3.2
// takes channels last there too, which measured up to twice slower on sound (one dim, stride 2).
memory::desc blocked_or_any(const Tensor& tensor, int64_t groups) {
  const bool wide = dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core;
  if (!wide || groups != 1 || tensor.sizes[1] % 16 != 0 || tensor.dtype != ScalarType::Float || tensor.dim() != 4) {
    return any_desc(tensor.sizes, tensor.dtype);
  }
  return {as_dims(tensor.sizes), type_of(tensor.dtype), memory::format_tag::aBcd16b};
}

// Channels last, oneDNN has its fastest kernels and needs no copies between layers. Otherwise it chooses the layouts it
// computes in, and is given copies. False where it has no kernel for this machine.
bool convolve_onednn(const Tensor& input, const Tensor& weight, const Tensor* bias, const Tensor& out,
                     const Dims& kernel, const Convolution& how, bool free_layout) {
  static Plans<Plan>& plans = *new Plans<Plan>;
  const bool packed = weight.layout == Layout::kMkldnn;
  const Tensor loose = packed ? Tensor() : ordered(weight, how);
  const Dims sizes = packed ? packed_sizes(weight) : loose.sizes;
  Key key;
  key.add(input.sizes).add(sizes).add(out.sizes).add(how.stride).add(how.padding).add(how.dilation);
  key.add(how.groups).add(static_cast<int64_t>(how.transposed)).add(static_cast<int64_t>(input.dtype));
  key.add(static_cast<int64_t>(bias != nullptr)).add(how.unary).add(std::string(how.binary ? how.binary : ""));
  key.add(static_cast<int64_t>(how.in_place)).add(static_cast<int64_t>(free_layout));
  if (how.other) key.add(how.other->sizes).add(how.other->strides);
  const auto plan = plans.get(key, [&] {
    const auto layout = [&](const Tensor& t) { return free_layout ? blocked_or_any(t, how.groups) : desc_of(t); };
    return make_plan(layout(input), any_desc(sizes, weight.dtype), bias ? desc_of(*bias) : memory::desc(), layout(out),
                     input.sizes, out.sizes, kernel, how);
  });
  if (!plan->primitive) return false;
  const memory given = wrap(input);
  const memory wanted = wrap(out);
  std::optional<Scratch> source;
  std::optional<Scratch> result;
  if (plan->source != given.get_desc()) reorder(given, source.emplace(plan->source).view);
  if (plan->result != wanted.get_desc()) result.emplace(plan->result);
  std::unordered_map<int, memory> arguments{
      {DNNL_ARG_SRC, source ? source->view : given},
      {DNNL_ARG_WEIGHTS, weights(packed ? weight : loose, packed ? memory::desc() : desc_of(loose), plan->weights)},
      {DNNL_ARG_DST, result ? result->view : wanted}};
  if (bias) arguments.emplace(DNNL_ARG_BIAS, wrap(*bias));
  if (how.other && !how.in_place) {
    arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, wrap(*how.other));
  }
  run(plan->primitive, arguments);
  if (result) reorder(result->view, wanted);
  return true;
}

// For what oneDNN does not know: double, and transposed convolutions whose output is padded by more than their input is
// cropped. Each output element sums over the inputs that reach it.
template <class T>
void convolve_plain(const Tensor& input, const Tensor& weight, const Tensor* bias, const Tensor& out,
                    const Dims& kernel, const Convolution& how) {
  const size_t spatial = kernel.size();
  const int64_t in_per_group = input.sizes[1] / how.groups;
  const int64_t out_per_group = out.sizes[1] / how.groups;
  const Tensor w = ordered(weight, how);
  const size_t lead = how.groups == 1 ? 0 : 1;  // the dim of groups
  const int64_t taps = count(kernel);
  const auto* x = input.data<T>();
  const auto* k = w.data<T>();
  auto* y = out.data<T>();
  parallel_for(0, out.numel(), 64, [&](int64_t begin, int64_t end) {
    Dims place(out.sizes.size());
    for (int64_t i = begin; i < end; ++i) {
      int64_t rest = i;
      for (size_t d = place.size(); d-- > 0;) {
        place[d] = rest % out.sizes[d];
        rest /= out.sizes[d];
      }
      const int64_t group = place[1] / out_per_group;
      T sum = bias ? bias->data<T>()[place[1] * bias->strides[0]] : 0;
      for (int64_t tap = 0; tap < taps; ++tap) {
        int64_t x_at = place[0] * input.strides[0] + group * in_per_group * input.strides[1];
        int64_t k_at = place[1] % out_per_group * w.strides[lead] + (lead ? group * w.strides[0] : 0);
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
          k_at += t * w.strides[lead + 2 + d];
        }
        for (int64_t c = 0; inside && c < in_per_group; ++c)
          sum += x[x_at + c * input.strides[1]] * k[k_at + c * w.strides[lead + 1]];
      }
      int64_t y_at = 0;
      for (size_t d = 0; d < place.size(); ++d) y_at += place[d] * out.strides[d];
      y[y_at] = sum;
    }
  });
}

// Whether the output reaches beyond all that the input adds to.
bool extends(const Convolution& how) {
  for (size_t d = 0; d < how.padding.size(); ++d) {
    if (how.transposed && how.output_padding[d] > how.padding[d]) return true;
  }
  return false;
}

void convolve_into(const Tensor& out, const Tensor& input, const Tensor& weight, const Tensor* bias, const Dims& kernel,
                   Convolution how);

// In float32, rounded once.
void convolve_wide(const Tensor& out, const Tensor& input, const Tensor& weight, const Tensor* bias, const Dims& kernel,
                   Convolution how) {
  const ScalarType wide = ScalarType::Float;
  require(out.dtype != wide && weight.layout == Layout::kStrided, "oneDNN has no kernel on this machine to convolve ",
          to_string(input.sizes), " of ", dtype_name(out.dtype), " with weights of ", to_string(weight.sizes));
  const Tensor result = how.in_place ? to(out, wide) : empty_like(out, wide);
  const Tensor wide_bias = bias ? to(*bias, wide) : Tensor();
  const Tensor other = how.other ? to(*how.other, wide) : Tensor();
  if (how.other) how.other = &other;
  convolve_into(result, to(input, wide), to(weight, wide), bias ? &wide_bias : nullptr, kernel, std::move(how));
  copy(out, result);
}

// Output in the format asked for, whatever the kernel works in.
void convolve_into(const Tensor& out, const Tensor& input, const Tensor& weight, const Tensor* bias, const Dims& kernel,
                   Convolution how) {
  if (out.numel() == 0) return;
  if (input.numel() == 0) {
    zero(out);
    return;
  }
  if (out.dtype == ScalarType::Double) {
    require(how.binary == nullptr && how.unary.name == "none", "a fused convolution of float64");
    return convolve_plain<double>(input, weight, bias, out, kernel, how);
  }
  if (extends(how)) {
    require(how.unary.name == "none" && weight.layout == Layout::kStrided,
            "a transposed convolution with output padding ", to_string(how.output_padding), " beyond padding ",
            to_string(how.padding), " and a fused function");
    if (out.dtype == ScalarType::Float) return convolve_plain<float>(input, weight, bias, out, kernel, how);
    return convolve_wide(out, input, weight, bias, kernel, std::move(how));
  }
  const Tensor dense_bias = bias ? contiguous(*bias) : Tensor();
  const Tensor* added = bias ? &dense_bias : nullptr;
  const MemoryFormat format = channels_last_of(input.dim());
  if (!out.is_contiguous(format) && out.is_dense() && how.binary == nullptr) {
    const Tensor dense = input.is_dense() ? input : contiguous(input);
    if (convolve_onednn(dense, weight, added, out, kernel, how, true)) return;
    return convolve_wide(out, input, weight, bias, kernel, std::move(how));
  }
  const Tensor source = in_format(input, format);
  const bool direct = out.is_contiguous(format);
  const Tensor result =
      direct ? view_as(out, out.sizes, strides_of(out.sizes, format), out.offset) : empty(out.sizes, out.dtype, format);
  Tensor other;
  Convolution fused = how;
  if (how.in_place) {
    if (!direct) copy(result, out);
  } else if (how.other) {
    other = in_format(expand(*how.other, out.sizes), format);
    fused.other = &other;
  }
  if (!convolve_onednn(source, weight, added, result, kernel, fused, false))
    return convolve_wide(out, input, weight, bias, kernel, std::move(how));
  if (!direct) copy(out, result);
}

// Whether torch takes this machine to have instructions for a half type.
bool has_instructions_for(ScalarType dtype) {
  const auto isa = dnnl::get_effective_cpu_isa();
  return isa >= (dtype == ScalarType::Half ? dnnl::cpu_isa::avx512_core_fp16 : dnnl::cpu_isa::avx512_core) ||
         isa == dnnl::cpu_isa::avx2_vnni_2;
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
  require(input.dtype == weight.dtype && (is_floating(input.dtype)), "a convolution of ", dtype_name(input.dtype),
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
  convolve_into(out, input, weight, bias, kernel, std::move(how));
  return out;
}

}  // namespace slim::onednn

using namespace slim::onednn;

namespace {

Convolution geometry(Dims stride, Dims padding, Dims dilation, int64_t groups) {
  Convolution how;
  how.stride = std::move(stride);
  how.padding = std::move(padding);
  how.dilation = std::move(dilation);
  how.groups = groups;
  return how;
}

void add_binary(Convolution& how, const char* kind, const double* alpha, const Tensor& other) {
  require(alpha == nullptr || *alpha == 1, "a fused ", kind, " with a factor of ", alpha ? *alpha : 1);
  how.binary = kind;
  how.other = &other;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_convolution(AtenTensorHandle input, AtenTensorHandle weight, AtenTensorHandle* bias,
                                          const int64_t* stride, int64_t stride_len_, const int64_t* padding,
                                          int64_t padding_len_, const int64_t* dilation, int64_t dilation_len_,
                                          int32_t transposed, const int64_t* output_padding,
                                          int64_t output_padding_len_, int64_t groups, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Convolution how =
        geometry(list(stride, stride_len_), list(padding, padding_len_), list(dilation, dilation_len_), groups);
    how.output_padding = list(output_padding, output_padding_len_);
    how.transposed = transposed != 0;
    *ret0 = give(convolve(get(input), get(weight), get_optional(bias), std::move(how)));
  });
}

AOTITorchError aoti_torch_cpu_mkldnn__convolution_pointwise(
    AtenTensorHandle X, AtenTensorHandle W, AtenTensorHandle* B, const int64_t* padding, int64_t padding_len_,
    const int64_t* stride, int64_t stride_len_, const int64_t* dilation, int64_t dilation_len_, int64_t groups,
    const char* attr, const double** scalars, int64_t scalars_len_, const char** algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Convolution how =
        geometry(list(stride, stride_len_), list(padding, padding_len_), list(dilation, dilation_len_), groups);
    how.unary = unary_of(attr, scalars, scalars_len_, algorithm);
    *ret0 = give(convolve(get(X), get(W), get_optional(B), std::move(how)));
  });
}

AOTITorchError aoti_torch_cpu_mkldnn__convolution_transpose_pointwise(
    AtenTensorHandle X, AtenTensorHandle W, AtenTensorHandle* B, const int64_t* padding, int64_t padding_len_,
    const int64_t* output_padding, int64_t output_padding_len_, const int64_t* stride, int64_t stride_len_,
    const int64_t* dilation, int64_t dilation_len_, int64_t groups, const char* attr, const double** scalars,
    int64_t scalars_len_, const char** algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Convolution how =
        geometry(list(stride, stride_len_), list(padding, padding_len_), list(dilation, dilation_len_), groups);
    how.output_padding = list(output_padding, output_padding_len_);
    how.transposed = true;
    how.unary = unary_of(attr, scalars, scalars_len_, algorithm);
    *ret0 = give(convolve(get(X), get(W), get_optional(B), std::move(how)));
  });
}

AOTITorchError aoti_torch_cpu_mkldnn__convolution_pointwise_binary(
    AtenTensorHandle X, AtenTensorHandle other, AtenTensorHandle W, AtenTensorHandle* B, const int64_t* padding,
    int64_t padding_len_, const int64_t* stride, int64_t stride_len_, const int64_t* dilation, int64_t dilation_len_,
    int64_t groups, const char* binary_attr, double* alpha, const char** unary_attr, const double** unary_scalars,
    int64_t unary_scalars_len_, const char** unary_algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Convolution how =
        geometry(list(stride, stride_len_), list(padding, padding_len_), list(dilation, dilation_len_), groups);
    add_binary(how, binary_attr, alpha, get(other));
    if (unary_attr) how.unary = unary_of(*unary_attr, unary_scalars, unary_scalars_len_, unary_algorithm);
    *ret0 = give(convolve(get(X), get(W), get_optional(B), std::move(how)));
  });
}

// The result replaces `other`, which is returned.
AOTITorchError aoti_torch_cpu_mkldnn__convolution_pointwise_binary_(
    AtenTensorHandle other, AtenTensorHandle X, AtenTensorHandle W, AtenTensorHandle* B, const int64_t* padding,
    int64_t padding_len_, const int64_t* stride, int64_t stride_len_, const int64_t* dilation, int64_t dilation_len_,
    int64_t groups, const char* binary_attr, double* alpha, const char** unary_attr, const double** unary_scalars,
    int64_t unary_scalars_len_, const char** unary_algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const Tensor& x = get(X);
    const Tensor& sum = get(other);
    Convolution how =
        geometry(list(stride, stride_len_), list(padding, padding_len_), list(dilation, dilation_len_), groups);
    add_binary(how, binary_attr, alpha, sum);
    // A kernel that writes where it still reads, or that does more than add, works elsewhere first.
    how.in_place = !(x.storage == sum.storage) && std::string_view(binary_attr) == "add";
    if (unary_attr) how.unary = unary_of(*unary_attr, unary_scalars, unary_scalars_len_, unary_algorithm);
    const bool in_place = how.in_place;
    const Tensor result = convolve(x, get(W), get_optional(B), std::move(how));
    if (!in_place) copy(sum, result);
    *ret0 = give(sum);
  });
}
}
