// The tensor: shared storage seen through sizes, strides and an offset, all counted in elements.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tensor/allocator.h"
#include "tensor/dtype.h"

namespace slim {

// A short list of int64: sizes, strides, or dims. Up to six live inside the object.
class Dims {
 public:
  Dims() = default;
  explicit Dims(size_t count, int64_t value = 0);
  Dims(const int64_t* values, size_t count);
  Dims(std::initializer_list<int64_t> values) : Dims(values.begin(), values.size()) {}
  Dims(const Dims& other) : Dims(other.data(), other.size()) {}
  Dims(Dims&& other) noexcept;
  Dims& operator=(Dims other) noexcept;
  ~Dims() = default;

  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  int64_t* data() noexcept { return many_ ? many_.get() : few_; }
  const int64_t* data() const noexcept { return many_ ? many_.get() : few_; }
  int64_t* begin() noexcept { return data(); }
  int64_t* end() noexcept { return data() + size_; }
  const int64_t* begin() const noexcept { return data(); }
  const int64_t* end() const noexcept { return data() + size_; }
  int64_t& operator[](size_t i) noexcept { return data()[i]; }
  int64_t operator[](size_t i) const noexcept { return data()[i]; }
  int64_t back() const noexcept { return data()[size_ - 1]; }

  void push_back(int64_t value);
  void insert(size_t position, int64_t value);
  void erase(size_t position) noexcept;

  friend bool operator==(const Dims& a, const Dims& b) noexcept;
  friend bool operator!=(const Dims& a, const Dims& b) noexcept { return !(a == b); }

 private:
  static constexpr size_t kInline = 6;
  size_t size_ = 0;
  int64_t few_[kInline] = {};
  std::unique_ptr<int64_t[]> many_;  // holds all of them when there are more than kInline
};

// "[2, 3]", put together only when it becomes a string: a check that holds must cost nothing.
struct DimsText {
  const Dims& dims;

  explicit operator std::string() const;
};
inline DimsText to_string(const Dims& dims) { return {dims}; }

// A stretch of memory that tensors share: from the allocator, or borrowed from the caller.
class Storage {
 public:
  using Deleter = void (*)(void* data, void* context);

  // Owned and uninitialised; data() is null when bytes is 0.
  static Storage allocate(size_t bytes);
  // Borrowed; `deleter`, when there is one, is called once no tensor uses it any more.
  static Storage borrow(void* data, size_t bytes, Deleter deleter = nullptr, void* context = nullptr);

  Storage() = default;
  Storage(const Storage& other) noexcept : shared_(other.shared_) {
    if (shared_) shared_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Storage(Storage&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
  Storage& operator=(Storage other) noexcept {
    std::swap(shared_, other.shared_);
    return *this;
  }
  ~Storage();

  explicit operator bool() const noexcept { return shared_ != nullptr; }
  void* data() const noexcept { return shared_ ? shared_->block.data : nullptr; }
  size_t bytes() const noexcept { return shared_ ? shared_->bytes : 0; }
  friend bool operator==(const Storage& a, const Storage& b) noexcept { return a.shared_ == b.shared_; }

  // Grows it in place for all who share it, keeping the contents. Fails on borrowed memory.
  void grow(size_t bytes);

 private:
  struct Shared {
    std::atomic<size_t> references{1};
    size_t bytes = 0;
    Block block{};  // capacity 0: borrowed
    Deleter deleter = nullptr;
    void* context = nullptr;
  };
  Shared* shared_ = nullptr;
};

// Torch's numbers.
enum class Layout : int32_t { kStrided = 0, kMkldnn = 3 };
enum class MemoryFormat : int32_t { kContiguous = 0, kPreserve = 1, kChannelsLast = 2, kChannelsLast3d = 3 };

// A constant in oneDNN's own layout.
struct Opaque {
  explicit Opaque(std::vector<uint8_t> serialized) : descriptor(std::move(serialized)) {}

  const std::vector<uint8_t> descriptor;  // oneDNN's memory descriptor, as it serialises it
  std::mutex mutex;                       // of what follows
  Storage panels;                         // the same numbers as kernels want them, made when asked for
  Storage sums;                           // of the weights of each column, where those are bytes
};

struct Tensor {
  Storage storage;
  Dims sizes;
  Dims strides;
  int64_t offset = 0;
  ScalarType dtype = ScalarType::Float;
  Layout layout = Layout::kStrided;
  std::shared_ptr<Opaque> opaque;  // set exactly when the layout is kMkldnn

  bool defined() const noexcept { return static_cast<bool>(storage); }
  int64_t dim() const noexcept { return static_cast<int64_t>(sizes.size()); }
  int64_t numel() const noexcept;
  size_t itemsize() const { return element_size(dtype); }
  int64_t size(int64_t d) const { return sizes[wrap(d)]; }
  int64_t stride(int64_t d) const { return strides[wrap(d)]; }
  // Index of a dim that may count from the end. A tensor without dims has one as far as this is concerned.
  size_t wrap(int64_t d) const;

  void* raw() const;
  template <class T>
  T* data() const {
    return static_cast<T*>(raw());
  }

  bool is_contiguous() const noexcept;
  bool is_contiguous(MemoryFormat format) const;
  // Every element has its own place and there are no gaps: any order of dims.
  bool is_dense() const;
};

// ---- making -------------------------------------------------------------------------------------------------

int64_t count(const Dims& sizes);  // product; fails on negative sizes and overflow
Dims contiguous_strides(const Dims& sizes);
Dims strides_of(const Dims& sizes, MemoryFormat format);
// Bytes from the start of the storage to behind the last element.
size_t bytes_needed(const Dims& sizes, const Dims& strides, int64_t offset, size_t itemsize);

Tensor empty_strided(Dims sizes, Dims strides, ScalarType dtype);
Tensor empty(const Dims& sizes, ScalarType dtype, MemoryFormat format = MemoryFormat::kContiguous);
Tensor zeros(const Dims& sizes, ScalarType dtype);
// torch.empty_like(self, dtype=dtype): the same strides where self is dense, else the same order of dims.
Tensor empty_like(const Tensor& self, ScalarType dtype);
inline Tensor empty_like(const Tensor& self) { return empty_like(self, self.dtype); }
// Torch's choice of memory format for the output of a pooling or convolution of `self`.
MemoryFormat suggest_memory_format(const Tensor& self);

// ---- views: share the storage; fail where they would leave it -----------------------------------------------

Tensor view_as(const Tensor& self, Dims sizes, Dims strides, int64_t offset);
Tensor transpose(const Tensor& self, int64_t dim0, int64_t dim1);
Tensor permute(const Tensor& self, const Dims& dims);
Tensor narrow(const Tensor& self, int64_t dim, int64_t start, int64_t length);
Tensor select(const Tensor& self, int64_t dim, int64_t index);
Tensor unsqueeze(const Tensor& self, int64_t dim);
Tensor squeeze(const Tensor& self, int64_t dim);
// Broadcasts: fails where a size neither agrees nor is 1.
Tensor expand(const Tensor& self, const Dims& sizes);
// A view where strides allow it, else a contiguous copy; one size may be -1.
Tensor reshape(const Tensor& self, const Dims& sizes);

// The shape that tensors of these shapes broadcast to.
Dims broadcast(const Dims& a, const Dims& b);

// ---- copying (copy.cpp) -------------------------------------------------------------------------------------

// Converts as torch does where dtypes differ; `source` broadcasts to `destination`; overlap within one storage is
// allowed only where the two are the same elements.
void copy(const Tensor& destination, const Tensor& source);
Tensor clone(const Tensor& self);       // dense, the order of dims kept
Tensor contiguous(const Tensor& self);  // itself where it is contiguous already
Tensor to(const Tensor& self, ScalarType dtype);
void fill(const Tensor& self, double value);
void zero(const Tensor& self);

}  // namespace slim

// What an AtenTensorHandle points to.
struct AtenTensorOpaque {
  slim::Tensor tensor;
};

namespace slim {

// The tensor of a handle; fails on null and on a tensor that was never given a value.
inline const Tensor& get(AtenTensorHandle handle) {
  require(handle != nullptr, "a tensor argument is null");
  require(handle->tensor.defined(), "a tensor argument is undefined");
  return handle->tensor;
}

// An optional tensor argument.
inline const Tensor* get_optional(const AtenTensorHandle* handle) {
  return handle != nullptr && *handle != nullptr && (*handle)->tensor.defined() ? &(*handle)->tensor : nullptr;
}

// A new handle, owned by the caller of the shim.
inline AtenTensorHandle give(Tensor tensor) { return new AtenTensorOpaque{std::move(tensor)}; }

// The same for several outputs: all of them, or none where memory ends in between.
template <class... Tensors>
void give_all(const std::array<AtenTensorHandle*, sizeof...(Tensors)>& handles, Tensors&&... tensors) {
  std::unique_ptr<AtenTensorOpaque> made[] = {
      std::unique_ptr<AtenTensorOpaque>(give(std::forward<Tensors>(tensors)))...};
  for (size_t i = 0; i < handles.size(); ++i) *handles[i] = made[i].release();
}

// An optional value argument.
template <class T>
std::optional<T> optional(const T* pointer) {
  return pointer ? std::optional<T>(*pointer) : std::nullopt;
}
inline std::optional<ScalarType> optional_dtype(const int32_t* pointer) {
  return pointer ? std::optional<ScalarType>(static_cast<ScalarType>(*pointer)) : std::nullopt;
}

}  // namespace slim
