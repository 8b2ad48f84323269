#include "onednn.h"

#include <algorithm>
#include <cstring>

#include "tensor/iterate.h"
#include "tensor/packed.h"

namespace slim::onednn {

dnnl::engine& engine() {
  // Not destroyed: threads that end late, and primitives of their own, may still need it.
  static dnnl::engine& instance = *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return instance;
}

dnnl::stream& stream() {
  thread_local dnnl::stream instance(engine());
  return instance;
}

memory::data_type type_of(ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Float:
      return memory::data_type::f32;
    case ScalarType::BFloat16:
      return memory::data_type::bf16;
    case ScalarType::Half:
      return memory::data_type::f16;
    case ScalarType::Int:
      return memory::data_type::s32;
    case ScalarType::Char:
      return memory::data_type::s8;
    case ScalarType::Byte:
      return memory::data_type::u8;
    default:
      unsupported(dtype, "float32, bfloat16, float16, int32, int8 and uint8");
  }
}

namespace {

memory::dims as_dims(const Dims& values) { return {values.begin(), values.end()}; }

}  // namespace

memory::desc desc_of(const Dims& sizes, const Dims& strides, ScalarType dtype) {
  return {as_dims(sizes), type_of(dtype), as_dims(strides)};
}
memory::desc desc_of(const Tensor& tensor) { return desc_of(tensor.sizes, tensor.strides, tensor.dtype); }
memory::desc any_desc(const Dims& sizes, ScalarType dtype) {
  return {as_dims(sizes), type_of(dtype), memory::format_tag::any};
}

dnnl::primitive_attr attributes(const dnnl::post_ops& ops) {
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(ops);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

void run(const dnnl::primitive& primitive, std::unordered_map<int, memory> arguments) {
  std::optional<Scratch> scratch;
  const auto wanted = dnnl_primitive_desc_query_md(primitive.get_primitive_desc(), dnnl_query_scratchpad_md, 0);
  if (wanted != nullptr && dnnl_memory_desc_get_size(wanted) > 0) {
    dnnl_memory_desc_t copied = nullptr;
    require(dnnl_memory_desc_clone(&copied, wanted) == dnnl_success, "oneDNN has no memory for a descriptor");
    arguments.emplace(DNNL_ARG_SCRATCHPAD, scratch.emplace(memory::desc(copied)).view);
  }
  primitive.execute(stream(), arguments);
  stream().wait();
}

void reorder(const memory& from, const memory& to) {
  run(dnnl::reorder(from, to), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

// ---- pointwise ----------------------------------------------------------------------------------------------

Unary unary_of(const char* name, const double* const* scalars, int64_t count, const char* const* algorithm) {
  Unary unary;
  if (name != nullptr) unary.name = name;
  if (algorithm != nullptr && *algorithm != nullptr) unary.algorithm = *algorithm;
  if (count > 0 && scalars[0] != nullptr) unary.alpha = *scalars[0];
  if (count > 1 && scalars[1] != nullptr) unary.beta = *scalars[1];
  return unary;
}

void append(dnnl::post_ops& ops, const Unary& unary) {
  using dnnl::algorithm;
  auto eltwise = [&](algorithm kind, double alpha = 0, double beta = 0) {
    ops.append_eltwise(kind, static_cast<float>(alpha), static_cast<float>(beta));
  };
  if (unary.name == "none") return;
  if (unary.name == "relu") return eltwise(algorithm::eltwise_relu);
  if (unary.name == "leaky_relu") return eltwise(algorithm::eltwise_relu, unary.alpha);
  if (unary.name == "sigmoid") return eltwise(algorithm::eltwise_logistic);
  if (unary.name == "tanh") return eltwise(algorithm::eltwise_tanh);
  if (unary.name == "swish") return eltwise(algorithm::eltwise_swish, 1);
  if (unary.name == "hardswish") return eltwise(algorithm::eltwise_hardswish, 1.0 / 6, 0.5);
  if (unary.name == "hardsigmoid") return eltwise(algorithm::eltwise_hardsigmoid, 1.0 / 6, 0.5);
  if (unary.name == "hardtanh") return eltwise(algorithm::eltwise_clip, unary.alpha, unary.beta);
  if (unary.name == "gelu" && unary.algorithm == "tanh") return eltwise(algorithm::eltwise_gelu_tanh);
  if (unary.name == "gelu") return eltwise(algorithm::eltwise_gelu_erf);
  fail("the fused function ", unary.name, " is not known to this runtime");
}

void append_binary(dnnl::post_ops& ops, const char* name, const memory::desc& other) {
  using dnnl::algorithm;
  const std::string_view kind = name;
  require(kind == "add" || kind == "sub" || kind == "mul", "the fused operation ", kind,
          " is not known to this runtime");
  ops.append_binary(kind == "add"   ? algorithm::binary_add
                    : kind == "sub" ? algorithm::binary_sub
                                    : algorithm::binary_mul,
                    other);
}

// ---- weights ------------------------------------------------------------------------------------------------

namespace {

// Whether they are the same but for dims of 1 at the end of `desc`: taps of a convolution that has one.
bool same(const Blocked& layout, const memory::desc& desc) {
  if (desc.get_format_kind() != memory::format_kind::blocked) return false;
  auto equal = [](const Dims& a, const memory::dims& b) { return a == Dims(b.data(), b.size()); };
  const size_t rank = layout.dims.size();
  auto begins = [rank](const Dims& a, const memory::dims& b) { return b.size() >= rank && a == Dims(b.data(), rank); };
  const memory::dims padded = desc.get_padded_dims();
  return static_cast<int>(desc.get_data_type()) == layout.type && begins(layout.dims, desc.get_dims()) &&
         begins(layout.padded, padded) && begins(layout.strides, desc.get_strides()) &&
         std::all_of(padded.begin() + static_cast<std::ptrdiff_t>(rank), padded.end(),
                     [](int64_t size) { return size == 1; }) &&
         equal(layout.inner_blocks, desc.get_inner_blks()) && equal(layout.inner_dims, desc.get_inner_idxs());
}

// The layouts that one constant has been asked for in.
struct Prepared {
  std::vector<memory> memories;
};

memory reordered(const memory& from, const memory::desc& wanted) {
  memory to(wanted, engine());
  reorder(from, to);
  return to;
}

}  // namespace

memory weights(const Tensor& tensor, const memory::desc& plain, const memory::desc& wanted) {
  if (tensor.layout == Layout::kStrided) {
    const memory given = wrap(plain, tensor.raw());
    return plain == wanted ? given : reordered(given, wanted);
  }
  Opaque& opaque = *tensor.opaque;
  const std::lock_guard<std::mutex> lock(opaque.mutex);
  if (!opaque.prepared) opaque.prepared = std::make_shared<Prepared>();
  auto& memories = static_cast<Prepared*>(opaque.prepared.get())->memories;
  for (const memory& made : memories) {
    if (made.get_desc() == wanted) return made;
  }
  const Blocked layout = parse_layout(opaque.descriptor);
  if (same(layout, wanted)) {
    memories.push_back(wrap(wanted, tensor.raw()));
  } else {
    const Tensor loose = unpacked(tensor);
    // The sizes may differ in dims of 1, groups for one; the elements and their order do not.
    const memory::dims sizes = wanted.get_dims();
    const Dims shape(sizes.data(), sizes.size());
    require(count(shape) == loose.numel(), "a packed weight of sizes ", to_string(loose.sizes), " is used as ",
            to_string(shape));
    memories.push_back(reordered(wrap(reshape(loose, shape)), wanted));
  }
  return memories.back();
}

}  // namespace slim::onednn
