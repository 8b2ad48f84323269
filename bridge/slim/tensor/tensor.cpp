#include "tensor/tensor.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <string>
#include <utility>

#include "tensor/iterate.h"

namespace slim {

// ---- Dims ---------------------------------------------------------------------------------------------------

Dims::Dims(size_t count, int64_t value) : size_(count) {
  if (count > kInline) many_.reset(new int64_t[count]);
  std::fill(begin(), end(), value);
}

Dims::Dims(const int64_t* values, size_t count) : size_(count) {
  if (count > kInline) many_.reset(new int64_t[count]);
  std::copy_n(values, count, data());
}

Dims::Dims(Dims&& other) noexcept : size_(std::exchange(other.size_, 0)), many_(std::move(other.many_)) {
  std::copy_n(other.few_, kInline, few_);
}

Dims& Dims::operator=(Dims other) noexcept {
  size_ = std::exchange(other.size_, 0);
  std::copy_n(other.few_, kInline, few_);
  many_ = std::move(other.many_);
  return *this;
}

void Dims::push_back(int64_t value) { insert(size_, value); }

void Dims::insert(size_t position, int64_t value) {
  Dims longer(size_ + 1);
  std::copy_n(begin(), position, longer.begin());
  longer[position] = value;
  std::copy(begin() + position, end(), longer.begin() + position + 1);
  *this = std::move(longer);
}

void Dims::erase(size_t position) noexcept {
  std::copy(begin() + position + 1, end(), begin() + position);
  if (--size_ <= kInline && many_) {
    std::copy_n(many_.get(), size_, few_);
    many_.reset();
  }
}

bool operator==(const Dims& a, const Dims& b) noexcept {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

DimsText::operator std::string() const {
  std::string text = "[";
  for (const int64_t value : dims) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(value);
  }
  return text += ']';
}

// ---- Storage ------------------------------------------------------------------------------------------------

Storage Storage::allocate(size_t bytes) {
  auto shared = std::make_unique<Shared>();
  if (bytes > 0) shared->block = slim::allocate(bytes);
  shared->bytes = bytes;
  Storage storage;
  storage.shared_ = shared.release();
  return storage;
}

Storage Storage::borrow(void* data, size_t bytes, Deleter deleter, void* context) {
  Storage storage;
  storage.shared_ = new Shared;
  storage.shared_->bytes = bytes;
  storage.shared_->block = {data, 0};
  storage.shared_->deleter = deleter;
  storage.shared_->context = context;
  return storage;
}

Storage::~Storage() {
  if (shared_ == nullptr || shared_->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (shared_->block.capacity > 0) release(shared_->block);
  if (shared_->deleter != nullptr) shared_->deleter(shared_->block.data, shared_->context);
  delete shared_;
}

void Storage::grow(size_t bytes) {
  if (bytes <= this->bytes()) return;
  const bool owned = shared_->block.capacity > 0 || shared_->block.data == nullptr;
  require(owned, "borrowed memory of ", shared_->bytes, " bytes cannot grow to ", bytes);
  if (bytes > shared_->block.capacity) {
    const Block block = slim::allocate(bytes);
    if (shared_->block.data != nullptr) std::memcpy(block.data, shared_->block.data, shared_->bytes);
    if (shared_->block.capacity > 0) release(shared_->block);
    shared_->block = block;
  }
  shared_->bytes = bytes;
}

// ---- Tensor -------------------------------------------------------------------------------------------------

namespace {

// Dims from the one that varies fastest in memory to the slowest, as the channels-last formats have them.
constexpr size_t kOrder2d[] = {1, 3, 2, 0};
constexpr size_t kOrder3d[] = {1, 4, 3, 2, 0};

// Torch's test for "these strides look like channels last"; ambiguous shapes count as contiguous.
template <size_t N>
bool like_channels_last(const Dims& sizes, const Dims& strides, const size_t (&order)[N]) {
  if (sizes.size() != N || strides[1] == 0) return false;
  int64_t least = 0;
  for (const size_t d : order) {
    if (sizes[d] == 0 || strides[d] < least) return false;
    if (d == 0 && least == strides[1]) return false;
    least = strides[d] * std::max<int64_t>(sizes[d], 1);
  }
  return true;
}

bool packed(const Dims& sizes, const Dims& strides, const Dims& wanted) {
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] != 1 && strides[d] != wanted[d]) return false;
  }
  return true;
}

}  // namespace

int64_t Tensor::numel() const noexcept {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
}

size_t Tensor::wrap(int64_t d) const {
  const int64_t n = std::max<int64_t>(dim(), 1);
  require(d >= -n && d < n, "dim ", d, " is out of range for a tensor of ", dim(), " dims");
  return static_cast<size_t>(d < 0 ? d + n : d);
}

void* Tensor::raw() const {
  auto* base = static_cast<char*>(storage.data());
  return base == nullptr ? nullptr : base + offset * static_cast<int64_t>(itemsize());
}

bool Tensor::is_contiguous() const noexcept {
  int64_t expected = 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    if (sizes[d] == 0) return true;
    if (sizes[d] != 1 && strides[d] != expected) {
      return numel() == 0;
    }
    expected *= sizes[d];
  }
  return true;
}

bool Tensor::is_contiguous(MemoryFormat format) const {
  switch (format) {
    case MemoryFormat::kChannelsLast:
      return dim() == 4 && packed(sizes, strides, strides_of(sizes, format));
    case MemoryFormat::kChannelsLast3d:
      return dim() == 5 && packed(sizes, strides, strides_of(sizes, format));
    default:
      return is_contiguous();
  }
}

bool Tensor::is_dense() const {
  if (is_contiguous()) return true;
  Dims order(sizes.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const bool trivial_a = sizes[a] < 2;
    const bool trivial_b = sizes[b] < 2;
    return trivial_a || trivial_b ? !trivial_a && trivial_b : strides[a] < strides[b];
  });
  int64_t expected = 1;
  for (const int64_t d : order) {
    if (sizes[d] < 2) return true;
    if (strides[d] != expected) return false;
    expected *= sizes[d];
  }
  return true;
}

// ---- making -------------------------------------------------------------------------------------------------

int64_t count(const Dims& sizes) {
  int64_t product = 1;
  for (const int64_t size : sizes) {
    require(size >= 0, "negative size in shape ", to_string(sizes));
    require(!__builtin_mul_overflow(product, size, &product), "shape ", to_string(sizes), " has too many elements");
  }
  return product;
}

Dims contiguous_strides(const Dims& sizes) {
  Dims strides(sizes.size());
  int64_t stride = 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= std::max<int64_t>(sizes[d], 1);
  }
  return strides;
}

Dims strides_of(const Dims& sizes, MemoryFormat format) {
  Dims strides(sizes.size());
  int64_t stride = 1;
  auto assign = [&](const auto& order) {
    require(sizes.size() == std::size(order), "channels last needs ", std::size(order), " dims, not ", sizes.size());
    for (const size_t d : order) {
      strides[d] = stride;
      stride *= std::max<int64_t>(sizes[d], 1);
    }
    return strides;
  };
  if (format == MemoryFormat::kChannelsLast) return assign(kOrder2d);
  if (format == MemoryFormat::kChannelsLast3d) return assign(kOrder3d);
  return contiguous_strides(sizes);
}

size_t bytes_needed(const Dims& sizes, const Dims& strides, int64_t offset, size_t itemsize) {
  require(sizes.size() == strides.size(), "sizes ", to_string(sizes), " and strides ", to_string(strides),
          " differ in number");
  require(offset >= 0, "negative storage offset ", offset);
  if (count(sizes) == 0) return 0;
  int64_t last = offset;
  bool overflow = false;
  for (size_t d = 0; d < sizes.size(); ++d) {
    int64_t reach = 0;
    require(strides[d] >= 0, "negative stride in ", to_string(strides));
    overflow |= __builtin_mul_overflow(sizes[d] - 1, strides[d], &reach) || __builtin_add_overflow(last, reach, &last);
  }
  int64_t bytes = 0;
  overflow = overflow || __builtin_add_overflow(last, int64_t{1}, &last) ||
             __builtin_mul_overflow(last, static_cast<int64_t>(itemsize), &bytes);
  require(!overflow, "shape ", to_string(sizes), " with strides ", to_string(strides), " has too many bytes");
  return static_cast<size_t>(bytes);
}

Tensor empty_strided(Dims sizes, Dims strides, ScalarType dtype) {
  Tensor tensor;
  tensor.storage = Storage::allocate(bytes_needed(sizes, strides, 0, element_size(dtype)));
  tensor.sizes = std::move(sizes);
  tensor.strides = std::move(strides);
  tensor.dtype = dtype;
  return tensor;
}

Tensor empty(const Dims& sizes, ScalarType dtype, MemoryFormat format) {
  return empty_strided(sizes, strides_of(sizes, format), dtype);
}

Tensor zeros(const Dims& sizes, ScalarType dtype) {
  Tensor tensor = empty(sizes, dtype);
  zero(tensor);
  return tensor;
}

Tensor empty_like(const Tensor& self, ScalarType dtype) {
  if (self.is_dense()) return empty_strided(self.sizes, self.strides, dtype);
  return empty_strided(self.sizes, elementwise_strides({&self}, self.sizes), dtype);
}

MemoryFormat suggest_memory_format(const Tensor& self) {
  if (like_channels_last(self.sizes, self.strides, kOrder2d)) return MemoryFormat::kChannelsLast;
  if (like_channels_last(self.sizes, self.strides, kOrder3d)) return MemoryFormat::kChannelsLast3d;
  return MemoryFormat::kContiguous;
}

// ---- views --------------------------------------------------------------------------------------------------

Tensor view_as(const Tensor& self, Dims sizes, Dims strides, int64_t offset) {
  const size_t needed = bytes_needed(sizes, strides, offset, self.itemsize());
  require(needed <= self.storage.bytes(), "a view of sizes ", to_string(sizes), ", strides ", to_string(strides),
          " at ", offset, " needs ", needed, " bytes of a storage of ", self.storage.bytes());
  Tensor view = self;
  view.sizes = std::move(sizes);
  view.strides = std::move(strides);
  view.offset = offset;
  return view;
}

Tensor transpose(const Tensor& self, int64_t dim0, int64_t dim1) {
  Tensor view = self;
  if (self.dim() == 0) return view;
  std::swap(view.sizes[self.wrap(dim0)], view.sizes[self.wrap(dim1)]);
  std::swap(view.strides[self.wrap(dim0)], view.strides[self.wrap(dim1)]);
  return view;
}

Tensor permute(const Tensor& self, const Dims& dims) {
  require(dims.size() == self.sizes.size(), "permute of ", self.dim(), " dims by ", to_string(dims));
  Tensor view = self;
  Dims seen(dims.size());
  for (size_t d = 0; d < dims.size(); ++d) {
    const size_t from = self.wrap(dims[d]);
    require(seen[from]++ == 0, "repeated dim in permute by ", to_string(dims));
    view.sizes[d] = self.sizes[from];
    view.strides[d] = self.strides[from];
  }
  return view;
}

Tensor narrow(const Tensor& self, int64_t dim, int64_t start, int64_t length) {
  require(self.dim() > 0, "narrow of a tensor without dims");
  const size_t d = self.wrap(dim);
  const int64_t size = self.sizes[d];
  require(start >= -size && start <= size, "start ", start, " is out of range for size ", size, " of dim ", dim);
  if (start < 0) start += size;
  require(length >= 0 && length <= size - start, "length ", length, " from ", start, " exceeds size ", size, " of dim ",
          dim);
  Tensor view = self;
  view.sizes[d] = length;
  view.offset += start * self.strides[d];
  return view;
}

Tensor select(const Tensor& self, int64_t dim, int64_t index) {
  require(self.dim() > 0, "select of a tensor without dims");
  const size_t d = self.wrap(dim);
  const int64_t size = self.sizes[d];
  require(index >= -size && index < size, "index ", index, " is out of range for size ", size, " of dim ", dim);
  Tensor view = self;
  view.offset += (index < 0 ? index + size : index) * self.strides[d];
  view.sizes.erase(d);
  view.strides.erase(d);
  return view;
}

Tensor unsqueeze(const Tensor& self, int64_t dim) {
  const int64_t n = self.dim() + 1;
  require(dim >= -n && dim < n, "dim ", dim, " is out of range for unsqueeze of ", self.dim(), " dims");
  const auto d = static_cast<size_t>(dim < 0 ? dim + n : dim);
  Tensor view = self;
  view.strides.insert(d, d < self.sizes.size() ? self.sizes[d] * self.strides[d] : 1);
  view.sizes.insert(d, 1);
  return view;
}

Tensor squeeze(const Tensor& self, int64_t dim) {
  const size_t d = self.wrap(dim);
  Tensor view = self;
  if (self.dim() == 0 || self.sizes[d] != 1) return view;
  view.sizes.erase(d);
  view.strides.erase(d);
  return view;
}

Tensor expand(const Tensor& self, const Dims& sizes) {
  require(sizes.size() >= self.sizes.size(), "shape ", to_string(self.sizes), " cannot expand to ", to_string(sizes));
  Tensor view = self;
  view.sizes = sizes;
  view.strides = Dims(sizes.size(), 0);
  const size_t lead = sizes.size() - self.sizes.size();
  for (size_t d = 0; d < self.sizes.size(); ++d) {
    const bool same = self.sizes[d] == sizes[lead + d];
    require(same || self.sizes[d] == 1, "shape ", to_string(self.sizes), " cannot expand to ", to_string(sizes));
    if (same) view.strides[lead + d] = self.strides[d];
  }
  return view;
}

namespace {

// Torch's rule for when a reshape is a view: dims that merge must lie one behind the other. Empty: it needs a copy.
std::optional<Dims> reshaped_strides(const Tensor& self, const Dims& sizes) {
  if (self.numel() == 0) return self.sizes == sizes ? self.strides : contiguous_strides(sizes);
  Dims strides(sizes.size(), 1);
  auto view_d = static_cast<int64_t>(sizes.size()) - 1;
  int64_t base = self.sizes.empty() ? 1 : self.strides.back();
  int64_t tensor_count = 1;
  int64_t view_count = 1;
  for (auto d = self.dim() - 1; d >= 0; --d) {
    tensor_count *= self.sizes[d];
    const bool chunk_ends = d == 0 || (self.sizes[d - 1] != 1 && self.strides[d - 1] != tensor_count * base);
    if (!chunk_ends) continue;
    while (view_d >= 0 && (view_count < tensor_count || sizes[view_d] == 1)) {
      strides[view_d] = view_count * base;
      view_count *= sizes[view_d--];
    }
    if (view_count != tensor_count) return std::nullopt;
    if (d > 0) {
      base = self.strides[d - 1];
      tensor_count = view_count = 1;
    }
  }
  if (view_d >= 0 && !self.sizes.empty()) return std::nullopt;
  return strides;
}

}  // namespace

Tensor reshape(const Tensor& self, const Dims& sizes) {
  Dims shape = sizes;
  const int64_t total = self.numel();
  int64_t* unknown = nullptr;
  int64_t known = 1;
  for (int64_t& size : shape) {
    if (size == -1) {
      require(unknown == nullptr, "only one size can be -1 in ", to_string(sizes));
      unknown = &size;
    } else {
      known *= size;
    }
  }
  if (unknown != nullptr && known != 0) *unknown = total / known;
  require(count(shape) == total, "shape ", to_string(self.sizes), " cannot be seen as ", to_string(sizes));
  if (auto strides = reshaped_strides(self, shape)) return view_as(self, shape, *std::move(strides), self.offset);
  Tensor copied = empty(self.sizes, self.dtype);
  copy(copied, self);
  return view_as(copied, shape, contiguous_strides(shape), 0);
}

Dims broadcast(const Dims& a, const Dims& b) {
  const Dims& longer = a.size() >= b.size() ? a : b;
  const Dims& shorter = a.size() >= b.size() ? b : a;
  Dims shape = longer;
  const size_t lead = longer.size() - shorter.size();
  for (size_t d = 0; d < shorter.size(); ++d) {
    int64_t& size = shape[lead + d];
    require(size == shorter[d] || size == 1 || shorter[d] == 1, "shapes ", to_string(a), " and ", to_string(b),
            " do not broadcast");
    if (size == 1) size = shorter[d];
  }
  return shape;
}

}  // namespace slim
