#include "onednn.h"

#include <algorithm>
#include <cstring>

#include "tensor/iterate.h"

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
  const PlannedThreads planned;
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

// A blocked layout as oneDNN 3 serialises it: the bytes of its struct dnnl_memory_desc, which torch writes into a
// model. oneDNN before 3.4 has no function that reads them, and a model's may come from another version than ours; so
// they are taken apart here. The struct's beginning is the same in all of 3.x.
struct Blocked {
  Dims dims;
  Dims padded;
  Dims strides;
  Dims inner_blocks;
  Dims inner_dims;
  int32_t type;
};

Blocked parse(const std::vector<uint8_t>& bytes) {
  constexpr size_t kMaxDims = 12;
  constexpr int32_t kBlocked = 2;
  size_t at = 4;  // behind the kind of the struct
  auto read32 = [&] {
    int32_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    at += sizeof value;
    return value;
  };
  auto read_dims = [&](size_t count) {
    Dims values(count);
    std::memcpy(values.data(), bytes.data() + at, count * sizeof(int64_t));
    at += kMaxDims * sizeof(int64_t);
    return values;
  };
  require(bytes.size() >= 616, "a oneDNN memory descriptor of ", bytes.size(), " bytes is too short");
  Blocked layout;
  const int32_t rank = read32();
  require(rank > 0 && rank <= static_cast<int32_t>(kMaxDims), "a oneDNN memory descriptor of ", rank, " dims");
  const auto dims = static_cast<size_t>(rank);
  layout.dims = read_dims(dims);
  layout.type = read32();
  at += 4;
  layout.padded = read_dims(dims);
  const Dims offsets = read_dims(dims);
  int64_t offset = 0;
  std::memcpy(&offset, bytes.data() + at, sizeof offset);
  at += sizeof offset;
  const int32_t kind = read32();
  at += 4;
  layout.strides = read_dims(dims);
  const int32_t blocks = read32();
  at += 4;
  require(kind == kBlocked && offset == 0 && offsets == Dims(dims) && blocks >= 0 &&
              blocks <= static_cast<int32_t>(kMaxDims),
          "a constant lies in a layout of oneDNN that cannot be read: kind ", kind, ", offset ", offset);
  layout.inner_blocks = read_dims(static_cast<size_t>(blocks));
  layout.inner_dims = read_dims(static_cast<size_t>(blocks));
  for (const int64_t d : layout.inner_dims) require(d >= 0 && d < rank, "a oneDNN memory descriptor names dim ", d);
  for (const int64_t size : layout.inner_blocks) require(size > 0, "a oneDNN memory descriptor has a block of ", size);
  return layout;
}

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

// What each index along a dim adds to an element's place: a blocked layout is a sum over dims.
std::vector<std::vector<int64_t>> places(const Blocked& layout) {
  std::vector<std::vector<int64_t>> table(layout.dims.size());
  for (size_t d = 0; d < layout.dims.size(); ++d) {
    for (int64_t i = 0; i < layout.dims[d]; ++i) {
      int64_t place = 0;
      int64_t rest = i;
      int64_t step = 1;  // of the inner block at hand; the last block varies fastest
      for (size_t b = layout.inner_blocks.size(); b-- > 0;) {
        if (layout.inner_dims[b] == static_cast<int64_t>(d)) {
          place += rest % layout.inner_blocks[b] * step;
          rest /= layout.inner_blocks[b];
        }
        step *= layout.inner_blocks[b];
      }
      table[d].push_back(place + rest * layout.strides[d]);
    }
  }
  return table;
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

Dims packed_sizes(const Tensor& tensor) { return parse(tensor.opaque->descriptor).dims; }

bool lies_as(const Tensor& tensor, const memory::desc& desc) {
  return tensor.layout == Layout::kMkldnn && same(parse(tensor.opaque->descriptor), desc);
}

Tensor unpacked(const Tensor& tensor) {
  const Blocked layout = parse(tensor.opaque->descriptor);
  const auto table = places(layout);
  Tensor plain = empty(layout.dims, tensor.dtype);
  const size_t last = layout.dims.size() - 1;
  const int64_t inner = layout.dims[last];
  const int64_t outer = inner == 0 ? 0 : plain.numel() / inner;
  visit_size(plain.itemsize(), [&](auto type) {
    using T = typename decltype(type)::type;
    const T* from = tensor.data<T>();
    T* to = plain.data<T>();
    parallel_for(0, outer, std::max<int64_t>(1, kGrain / std::max<int64_t>(inner, 1)), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        int64_t base = 0;
        int64_t rest = row;
        for (size_t d = last; d-- > 0;) {
          base += table[d][rest % layout.dims[d]];
          rest /= layout.dims[d];
        }
        for (int64_t i = 0; i < inner; ++i) to[row * inner + i] = from[base + table[last][i]];
      }
    });
  });
  return plain;
}

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
  const Blocked layout = parse(opaque.descriptor);
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
