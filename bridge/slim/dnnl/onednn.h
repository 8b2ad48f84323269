// oneDNN for tensors: descriptors, post-ops, weights in the layouts it prefers, and plans kept from call to call.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace slim::onednn {

using dnnl::memory;

dnnl::engine& engine();
dnnl::stream& stream();  // this thread's

memory::data_type type_of(ScalarType dtype);

// The descriptor of a tensor as it lies in memory.
memory::desc desc_of(const Tensor& tensor);
memory::desc desc_of(const Dims& sizes, const Dims& strides, ScalarType dtype);
memory::desc any_desc(const Dims& sizes, ScalarType dtype);

inline memory wrap(const memory::desc& desc, void* data) { return memory(desc, engine(), data); }
inline memory wrap(const Tensor& tensor) { return wrap(desc_of(tensor), tensor.raw()); }

// The threads that a parallel region begun here would get: one inside another region.
inline int64_t threads() { return aot_slim_threads(); }

// What every primitive of a plan is made with: plans are run by many threads at once, so each run brings its own
// scratch memory. Left to oneDNN, it would belong to the thread that made the plan.
dnnl::primitive_attr attributes(const dnnl::post_ops& ops = {});

void run(const dnnl::primitive& primitive, std::unordered_map<int, memory> arguments);

// Memory of its own in a layout that no tensor has.
struct Scratch {
  explicit Scratch(const memory::desc& desc)
      : storage(Storage::allocate(desc.get_size())), view(wrap(desc, storage.data())) {}
  Storage storage;
  memory view;
};

// Copies between layouts of the same sizes.
void reorder(const memory& from, const memory& to);

// ---- pointwise functions fused into a primitive -------------------------------------------------------------

struct Unary {
  std::string name = "none";  // as Inductor names it: relu, gelu, ...
  double alpha = 0;           // its scalars
  double beta = 0;
  std::string algorithm;  // of gelu: none or tanh
};

// From the shim's arguments; each but the first may be null.
Unary unary_of(const char* name, const double* const* scalars, int64_t count, const char* const* algorithm);

void append(dnnl::post_ops& ops, const Unary& unary);
void append_binary(dnnl::post_ops& ops, const char* name, const memory::desc& other);

// ---- weights ------------------------------------------------------------------------------------------------

// Weights in the layout `wanted`. `plain` describes them where they are an ordinary tensor; `dims` are the sizes oneDNN
// knows them by. A constant in oneDNN's layout is converted once and kept; an ordinary tensor may change between calls
// and is converted in each.
memory weights(const Tensor& tensor, const memory::desc& plain, const memory::desc& wanted);

// ---- plans --------------------------------------------------------------------------------------------------

// What a plan depends on, as bytes: the threads it may use, and what is added.
class Key {
 public:
  Key() { add(threads()); }
  Key& add(int64_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Key& add(double value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Key& add(const Dims& dims) {
    add(static_cast<int64_t>(dims.size()));
    for (const int64_t value : dims) add(value);
    return *this;
  }
  Key& add(const std::string& text) {
    add(static_cast<int64_t>(text.size()));
    bytes_ += text;
    return *this;
  }
  Key& add(const Unary& unary) { return add(unary.name).add(unary.alpha).add(unary.beta).add(unary.algorithm); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Plans by key, made once; thread-safe. A plan is immutable. When there are many, all are forgotten.
template <class Plan>
class Plans {
 public:
  template <class Make>
  std::shared_ptr<const Plan> get(const Key& key, const Make& make) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = plans_.find(key.bytes());
      if (found != plans_.end()) return found->second;
    }
    auto plan = std::make_shared<const Plan>(make());
    const std::lock_guard<std::mutex> lock(mutex_);
    if (plans_.size() >= kMost) plans_.clear();
    return plans_.emplace(key.bytes(), std::move(plan)).first->second;
  }

 private:
  static constexpr size_t kMost = 1024;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const Plan>> plans_;
};

}  // namespace slim::onednn
