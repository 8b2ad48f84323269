// SPDX-License-Identifier: Apache-2.0
//
// aot_bridge.hpp: the C API of aot_bridge.h as C++17 types. Header-only; link to libaot_bridge.so.
//
//     const auto model = aot::Model::load(aot::find_model());
//     std::vector<float> x(8 * 64);
//     const auto outputs = model.run({aot::View(x, {8, 64})});
//     for (float y : outputs[0].data<float>()) std::cout << y << '\n';
//
// Failures come as exceptions or as values, by choice: every function `f` that can fail throws `aot::Error`, and has a
// sibling `try_f` that returns `aot::Result<T>`. Without exceptions (-fno-exceptions) only the `try_` functions should
// be called; the others print the message and abort.
//
// Handles are move-only and free what they own. A `Model` may be used from many threads at once, which is why `run` is
// const; a `Tensor` belongs to one thread at a time.
#ifndef AOT_BRIDGE_HPP
#define AOT_BRIDGE_HPP

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "aot_bridge.h"

#if defined(__has_include)
#if __has_include(<ranges>) && __cplusplus >= 202002L
#include <ranges>
#endif
#endif

namespace aot {

// ---- errors ---------------------------------------------------------------------------------------------------------

/// A failure. `what()` is three lines: what is wrong, what it means, what to do. `status()` is one of AOT_FAILED,
/// AOT_USAGE, ... and serves as the exit code of a program.
class Error : public std::runtime_error {
 public:
  Error(aot_status status, const std::string& message) : std::runtime_error(message), status_(status) {}

  /// This thread's last failure of the C API.
  static Error last(aot_status status) { return {status, aot_last_error()}; }

  [[nodiscard]] aot_status status() const noexcept { return status_; }

 private:
  aot_status status_;
};

namespace detail {

/// Throws, or prints and aborts where exceptions are off.
[[noreturn]] inline void raise(const Error& error) {
#if defined(__cpp_exceptions)
  throw Error(error);
#else
  std::fprintf(stderr, "%s\n", error.what());
  std::abort();
#endif
}

}  // namespace detail

/// A value or the Error that took its place.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// The error; only when there is no value.
  [[nodiscard]] const Error& error() const noexcept { return *std::get_if<1>(&state_); }

  /// The value; without one throws the error.
  T& value() & {
    check();
    return **this;
  }
  const T& value() const& {
    check();
    return **this;
  }
  T&& value() && {
    check();
    return std::move(**this);
  }

  /// The value, unchecked: only after has_value().
  T& operator*() noexcept { return *std::get_if<0>(&state_); }
  const T& operator*() const noexcept { return *std::get_if<0>(&state_); }
  T* operator->() noexcept { return std::get_if<0>(&state_); }
  const T* operator->() const noexcept { return std::get_if<0>(&state_); }

 private:
  void check() const {
    if (!has_value()) detail::raise(error());
  }

  std::variant<T, Error> state_;
};

// ---- memory ---------------------------------------------------------------------------------------------------------

/// Borrowed contiguous elements: C++17's stand-in for std::span, which converts to it and from it.
template <class T>
class Span {
 public:
  using element_type = T;
  using value_type = std::remove_cv_t<T>;

  constexpr Span() noexcept = default;
  constexpr Span(T* data, std::size_t size) noexcept : data_(data), size_(size) {}

  /// From anything with data() and size(): vector, array, string, std::span.
  template <class Container, class E = std::remove_pointer_t<decltype(std::declval<Container&>().data())>,
            class = std::enable_if_t<std::is_convertible_v<E (*)[], T (*)[]> &&  // not to elements of a base class
                                     std::is_convertible_v<decltype(std::declval<Container&>().size()), std::size_t>>>
  constexpr Span(Container&& container) noexcept  // NOLINT(google-explicit-constructor)
      : data_(container.data()), size_(container.size()) {}

  [[nodiscard]] constexpr T* data() const noexcept { return data_; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] constexpr T& operator[](std::size_t index) const noexcept { return data_[index]; }
  [[nodiscard]] constexpr T* begin() const noexcept { return data_; }
  [[nodiscard]] constexpr T* end() const noexcept { return data_ + size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The type of an element.
struct DType : aot_dtype {
  constexpr DType(aot_dtype raw) noexcept : aot_dtype(raw) {}  // NOLINT(google-explicit-constructor)
  constexpr DType(int kind, std::size_t bytes) noexcept
      : aot_dtype{static_cast<std::uint8_t>(kind), static_cast<std::uint8_t>(bytes * 8), 1} {}

  [[nodiscard]] constexpr std::size_t bytes() const noexcept { return bits / 8U; }

  /// torch's name: "float32", "bfloat16", "bool", ...; "unknown" for bits == 0.
  [[nodiscard]] std::string name() const {
    constexpr std::array<const char*, 7> kinds = {"int", "uint", "float", nullptr, "bfloat", "complex", "bool"};
    if (bits == 0 || code >= kinds.size() || kinds[code] == nullptr) return "unknown";
    return code == AOT_BOOL ? "bool" : kinds[code] + std::to_string(bits);
  }

  friend constexpr bool operator==(DType a, DType b) noexcept {
    return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes;
  }
  friend constexpr bool operator!=(DType a, DType b) noexcept { return !(a == b); }
};

/// The element type that `T` is for the model. Specialise it for half precision types of your own:
///     template <> struct aot::dtype_of<my::half> { static constexpr aot::DType value = {AOT_FLOAT, 2}; };
template <class T, class = void>
struct dtype_of;

namespace detail {

/// Whether an mdspan's axis can have that size: always, unless the size is part of the type.
template <class Mdspan>
constexpr auto takes_extent(std::size_t axis, std::int64_t size,
                            int /*preferred*/) -> decltype(Mdspan::static_extent(axis), true) {
  constexpr std::size_t dynamic = static_cast<std::size_t>(-1);  // std::dynamic_extent
  return Mdspan::static_extent(axis) == dynamic || Mdspan::static_extent(axis) == static_cast<std::size_t>(size);
}
template <class Mdspan>
constexpr bool takes_extent(std::size_t /*axis*/, std::int64_t /*size*/, long /*otherwise*/) {
  return true;
}

template <class T>
struct is_complex : std::false_type {};
template <class T>
struct is_complex<std::complex<T>> : std::true_type {};

}  // namespace detail

template <class T>
struct dtype_of<T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>>> {
  static constexpr DType value = {std::is_signed_v<T> ? AOT_INT : AOT_UINT, sizeof(T)};
};
template <class T>
struct dtype_of<T, std::enable_if_t<std::is_same_v<T, float> || std::is_same_v<T, double>>> {
  static constexpr DType value = {AOT_FLOAT, sizeof(T)};
};
template <class T>
struct dtype_of<T, std::enable_if_t<detail::is_complex<T>::value>> {
  static constexpr DType value = {AOT_COMPLEX, sizeof(T)};
};
template <>
struct dtype_of<bool> {
  static constexpr DType value = {AOT_BOOL, sizeof(bool)};
};
#if defined(__FLT16_MAX__) && defined(__SSE2__) && __GNUC__ >= 12
template <>
struct dtype_of<_Float16> {
  static constexpr DType value = {AOT_FLOAT, sizeof(_Float16)};
};
#endif

template <class T>
inline constexpr DType dtype_of_v = dtype_of<std::remove_cv_t<T>>::value;

using Shape = std::vector<std::int64_t>;

/// How many elements a shape holds; 1 for rank 0.
inline std::size_t num_elements(Span<const std::int64_t> shape) noexcept {
  std::size_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
  return count;
}

/// An input: memory that the caller keeps, with a shape that the view owns.
///
/// The model reads the memory during the call without copying it (a CPU model), so it must live that long. It is never
/// written to: a model that does so in place gets a copy, or see MutableView.
class View {
 public:
  /// `data` holds num_elements(shape) elements in C order.
  template <class T, class = decltype(dtype_of<std::remove_cv_t<T>>::value)>
  View(T* data, Shape shape) : View(data, dtype_of_v<T>, std::move(shape)) {}

  /// From a vector, array or span; a temporary only where it owns nothing. Throws AOT_USAGE when its size is not that
  /// of the shape.
  template <class Container, class T = std::remove_pointer_t<decltype(std::declval<Container&>().data())>,
            class = std::enable_if_t<std::is_lvalue_reference_v<Container> ||
                                     std::is_trivially_destructible_v<std::remove_reference_t<Container>>>>
  View(Container&& data, Shape shape) : View(data.data(), std::move(shape)) {
    if (data.size() != num_elements(shape_)) {
      const std::string held = std::to_string(data.size());
      const std::string asked = std::to_string(num_elements(shape_));
      detail::raise({AOT_USAGE, "a view of " + held + " elements was given a shape of " + asked +
                                    "\nits memory and its shape do not belong together\n"
                                    "make the product of the shape the number of elements"});
    }
  }

  /// Of any element type and device; `strides` in elements, empty for C order.
  View(const void* data, DType dtype, Shape shape, Shape strides = {}, aot_device device = {AOT_DEVICE_CPU, 0})
      : data_(const_cast<void*>(data)),  // NOLINT(cppcoreguidelines-pro-type-const-cast): aot_view has one data pointer
        dtype_(dtype),
        device_(device),
        shape_(std::move(shape)),
        strides_(std::move(strides)) {}

  /// From a std::mdspan or another class with its interface, with its strides.
  template <class Mdspan, class T = typename Mdspan::element_type, class = decltype(std::declval<Mdspan>().extent(0))>
  explicit View(const Mdspan& mdspan) : View(mdspan.data_handle(), dtype_of_v<T>, {}) {
    for (std::size_t axis = 0; axis < Mdspan::rank(); ++axis) {
      shape_.push_back(static_cast<std::int64_t>(mdspan.extent(axis)));
      strides_.push_back(static_cast<std::int64_t>(mdspan.stride(axis)));
    }
  }

  /// For the C API; points into this view.
  [[nodiscard]] aot_view raw() const noexcept {
    // The C struct serves inputs and outputs; the library does not write to the sizes of an input.
    auto* shape = const_cast<std::int64_t*>(shape_.data());      // NOLINT(cppcoreguidelines-pro-type-const-cast)
    auto* strides = const_cast<std::int64_t*>(strides_.data());  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    return {data_,  device_, static_cast<std::int32_t>(shape_.size()),
            dtype_, shape,   strides_.empty() ? nullptr : strides,
            0};
  }

  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] DType dtype() const noexcept { return dtype_; }

 private:
  void* data_;
  DType dtype_;
  aot_device device_;
  Shape shape_;
  Shape strides_;
};

/// An input that the model may write to in place: for Model::run_in_place. Of memory that is not const.
class MutableView : public View {
 public:
  template <class T, class = std::enable_if_t<!std::is_const_v<T>, decltype(dtype_of<T>::value)>>
  MutableView(T* data, Shape shape) : View(data, std::move(shape)) {}
  template <class Container, class T = std::remove_pointer_t<decltype(std::declval<Container&>().data())>,
            class = std::enable_if_t<!std::is_const_v<T> &&
                                     (std::is_lvalue_reference_v<Container> ||
                                      std::is_trivially_destructible_v<std::remove_reference_t<Container>>)>>
  MutableView(Container&& data, Shape shape) : View(std::forward<Container>(data), std::move(shape)) {}
  MutableView(void* data, DType dtype, Shape shape, Shape strides = {}, aot_device device = {AOT_DEVICE_CPU, 0})
      : View(data, dtype, std::move(shape), std::move(strides), device) {}
  template <class Mdspan, class T = typename Mdspan::element_type, class = std::enable_if_t<!std::is_const_v<T>>,
            class = decltype(std::declval<Mdspan>().extent(0))>
  explicit MutableView(const Mdspan& mdspan) : View(mdspan) {}
};

/// An output: memory that this handle owns. A tensor that was moved from or released may only be assigned or destroyed.
class Tensor {
 public:
  Tensor() noexcept = default;
  /// Takes over a tensor of the C API.
  explicit Tensor(aot_tensor* handle) noexcept : handle_(handle), view_(aot_tensor_view(handle)) {}
  Tensor(Tensor&& other) noexcept : handle_(std::move(other.handle_)), view_(std::exchange(other.view_, nullptr)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    handle_ = std::move(other.handle_);
    view_ = std::exchange(other.view_, nullptr);
    return *this;
  }

  [[nodiscard]] const aot_view& raw() const noexcept { return *view_; }
  [[nodiscard]] DType dtype() const noexcept { return raw().dtype; }
  [[nodiscard]] aot_device device() const noexcept { return raw().device; }
  [[nodiscard]] Span<const std::int64_t> shape() const noexcept {
    return {raw().shape, static_cast<std::size_t>(raw().ndim)};
  }
  [[nodiscard]] std::size_t size() const noexcept { return num_elements(shape()); }

  /// The stride of an axis, in elements.
  [[nodiscard]] std::int64_t stride(std::size_t axis) const noexcept {
    if (raw().strides != nullptr) return raw().strides[axis];
    return static_cast<std::int64_t>(num_elements({raw().shape + axis + 1, shape().size() - axis - 1}));
  }

  /// Whether the elements lie in C order without gaps.
  [[nodiscard]] bool is_contiguous() const noexcept {
    std::int64_t expected = 1;
    for (std::size_t axis = shape().size(); axis-- > 0;) {
      if (shape()[axis] == 0) return true;
      if (shape()[axis] != 1 && stride(axis) != expected) return false;
      expected *= shape()[axis];
    }
    return true;
  }

  /// The elements where they are. AOT_USAGE when they are not of type T, not in host memory or not contiguous.
  template <class T>
  [[nodiscard]] Result<Span<T>> try_data() const {
    if (auto wrong = unreadable<T>()) return *std::move(wrong);
    if (!is_contiguous()) {
      return Error(AOT_USAGE,
                   "the output's elements do not lie in C order\nit is a strided view, such as a transposed matrix\n"
                   "call to_vector(), which gathers them, or as<Mdspan>() with a strided layout");
    }
    return Span<T>(first<T>(), size());
  }
  template <class T>
  [[nodiscard]] Span<T> data() const {
    return try_data<T>().value();
  }

  /// A copy in C order in host memory, from whatever device the tensor is on.
  template <class T>
  [[nodiscard]] Result<std::vector<T>> try_to_vector() const {
    static_assert(!std::is_same_v<T, bool>, "std::vector<bool> has no elements to copy to; ask for a Span with data()");
    if (auto wrong = wrong_type<T>()) return *std::move(wrong);
    std::vector<T> copy(size());
    const aot_status status = aot_tensor_copy(handle_.get(), copy.data(), copy.size() * sizeof(T));
    if (status != AOT_OK) return Error::last(status);
    return copy;
  }
  template <class T>
  [[nodiscard]] std::vector<T> to_vector() const {
    return try_to_vector<T>().value();
  }

  /// The elements as a std::mdspan, or any class constructible like it from (pointer, array of extents), and from
  /// (pointer, mapping) when its layout is strided. AOT_USAGE when rank, element type or layout do not fit.
  template <class Mdspan>
  [[nodiscard]] Result<Mdspan> try_as() const {
    using T = typename Mdspan::element_type;
    using Index = typename Mdspan::index_type;
    constexpr std::size_t rank = Mdspan::rank();
    if (auto wrong = unreadable<T>()) return *std::move(wrong);
    if (shape().size() != rank) {
      return Error(AOT_USAGE, "the output has rank " + std::to_string(shape().size()) + ", the mdspan " +
                                  std::to_string(rank) +
                                  "\nan mdspan's rank is part of its type\nask for one of the output's rank");
    }
    std::array<Index, rank> extents{};
    std::array<Index, rank> strides{};
    for (std::size_t axis = 0; axis < rank; ++axis) {
      if (!detail::takes_extent<Mdspan>(axis, shape()[axis], 0)) {
        return Error(AOT_USAGE, "size " + std::to_string(axis) + " of the output is " + std::to_string(shape()[axis]) +
                                    ", the mdspan's is another one\nthat size is part of its type\n"
                                    "ask for an mdspan with dynamic extents");
      }
      extents[axis] = static_cast<Index>(shape()[axis]);
      strides[axis] = static_cast<Index>(stride(axis));
    }
    using Mapping = typename Mdspan::mapping_type;
    if constexpr (std::is_constructible_v<Mapping, typename Mdspan::extents_type, std::array<Index, rank>>) {
      return Mdspan(first<T>(), Mapping(typename Mdspan::extents_type(extents), strides));
    } else {
      if (auto contiguous = try_data<T>(); !contiguous) return contiguous.error();
      return Mdspan(first<T>(), extents);
    }
  }
  template <class Mdspan>
  [[nodiscard]] Mdspan as() const {
    return try_as<Mdspan>().value();
  }

  /// Hands the memory to a DLPack consumer, who calls its deleter; leaves this handle empty.
  [[nodiscard]] Result<aot_managed*> try_release_dlpack() noexcept {
    aot_managed* managed = nullptr;
    view_ = nullptr;
    const aot_status status = aot_tensor_to_dlpack(handle_.release(), &managed);
    if (status != AOT_OK) return Error::last(status);
    return managed;
  }
  [[nodiscard]] aot_managed* release_dlpack() { return try_release_dlpack().value(); }

 private:
  struct Free {
    void operator()(aot_tensor* tensor) const noexcept { aot_tensor_free(tensor); }
  };

  template <class T>
  [[nodiscard]] T* first() const noexcept {
    return reinterpret_cast<T*>(static_cast<char*>(raw().data) + raw().byte_offset);
  }

  /// Why the elements are not to be read as T, if so.
  template <class T>
  [[nodiscard]] std::optional<Error> wrong_type() const {
    if (dtype() == dtype_of_v<T>) return std::nullopt;
    return Error(AOT_USAGE, "the output's elements are " + dtype().name() + ", asked for as " + dtype_of_v<T>.name() +
                                "\nthey would be misread\nask for " + dtype().name() +
                                ", or export a model that casts");
  }

  /// Why host code may not read the elements in place as T, if so.
  template <class T>
  [[nodiscard]] std::optional<Error> unreadable() const {
    if (auto wrong = wrong_type<T>()) return wrong;
    if (device().type == AOT_DEVICE_CPU) return std::nullopt;
    return Error(
        AOT_USAGE,
        "the output is in a GPU's memory\nthe host cannot read it in place\ncall to_vector(), which copies it");
  }

  std::unique_ptr<aot_tensor, Free> handle_;
  const aot_view* view_ = nullptr;  // valid as long as the handle
};

// ---- models ---------------------------------------------------------------------------------------------------------

/// How a model is loaded.
struct LoadOptions {
  std::string device = {};        ///< "cpu", "cuda", "cuda:1", "rocm", ...; empty for the model's own
  std::uint32_t num_runners = 1;  ///< callers that run at the same time; others wait
  std::uint32_t num_threads = 0;  ///< of the CPU thread pool, process-wide; 0 leaves the runtime's choice
  std::string variant = {};       ///< such as "avx2"; empty: AOT_VARIANT's, or the best that this machine can run
  std::string prepared = {};      ///< a folder that aot_model_prepare has written into; empty: AOT_PREPARED's
};

/// The range of one size.
struct Dim {
  std::int64_t min;
  std::int64_t max;    ///< INT64_MAX when unbounded; equal to min when fixed; both -1 when unknown
  std::string symbol;  ///< empty unless dynamic; dims of one symbol agree among all inputs

  [[nodiscard]] bool is_fixed() const noexcept { return min == max && min >= 0; }
};

/// What the model says about one input or output.
struct TensorInfo {
  std::string name;
  DType dtype;    ///< bits == 0 when unknown
  bool has_rank;  ///< false when the package says nothing about it (made by plain PyTorch)
  std::vector<Dim> dims;
  std::optional<bool> mutated;  ///< whether the model writes into the input; empty when unknown, and for outputs
};

/// What one run took.
struct RunStats {
  double latency_ms = 0;                 ///< wall time, device synchronised before and after
  std::uint64_t device_used_bytes = 0;   ///< GPU: total - free after the run; CPU: 0
  std::uint64_t device_total_bytes = 0;  ///< 0 on the CPU
  std::uint64_t peak_rss_bytes = 0;      ///< of this process so far
};

namespace detail {

/// Runs a model or a session.
template <class Handle, class InputView>
[[nodiscard]] Result<std::vector<Tensor>> run(aot_status (*function)(Handle*, const aot_view*, std::size_t,
                                                                     aot_tensor**, std::size_t, aot_run_stats*),
                                              Handle* handle, Span<const InputView> inputs, std::size_t num_outputs,
                                              RunStats* stats) {
  constexpr std::size_t few = 8;  // enough for most models without touching the heap
  std::array<aot_view, few> view_slots;
  std::array<aot_tensor*, few> output_slots;
  std::vector<aot_view> view_heap(inputs.size() > few ? inputs.size() : 0);
  std::vector<aot_tensor*> output_heap(num_outputs > few ? num_outputs : 0);
  aot_view* views = view_heap.empty() ? view_slots.data() : view_heap.data();
  aot_tensor** outputs = output_heap.empty() ? output_slots.data() : output_heap.data();

  std::transform(inputs.begin(), inputs.end(), views, [](const View& view) { return view.raw(); });
  aot_run_stats raw;
  raw.struct_size = sizeof(raw);
  raw.reserved = 0;
  std::vector<Tensor> tensors;
  tensors.reserve(num_outputs);  // before there are outputs to lose
  const aot_status status =
      function(handle, views, inputs.size(), outputs, num_outputs, stats == nullptr ? nullptr : &raw);
  if (status != AOT_OK) return Error::last(status);
  if (stats != nullptr) {
    *stats = {raw.latency_ms, raw.device_used_bytes, raw.device_total_bytes, raw.peak_rss_bytes};
  }
  for (std::size_t index = 0; index < num_outputs; ++index) tensors.emplace_back(outputs[index]);
  return tensors;
}

}  // namespace detail

class Session;

/// A loaded model.
class Model {
 public:
  /// `path` is a bundle's model folder (see find_model) or a .pt2 archive.
  [[nodiscard]] static Result<Model> try_load(const std::string& path, const LoadOptions& options = {}) {
    aot_load_options raw{};
    raw.struct_size = sizeof(raw);
    raw.num_runners = options.num_runners;
    raw.device = options.device.empty() ? nullptr : options.device.c_str();
    raw.num_threads = options.num_threads;
    raw.variant = options.variant.empty() ? nullptr : options.variant.c_str();
    raw.prepared = options.prepared.empty() ? nullptr : options.prepared.c_str();
    aot_model* handle = nullptr;
    const aot_status status = aot_model_load(path.c_str(), &raw, &handle);
    if (status != AOT_OK) return Error::last(status);
    return Model(handle);
  }
  [[nodiscard]] static Model load(const std::string& path, const LoadOptions& options = {}) {
    return try_load(path, options).value();
  }

  /// Runs the model on inputs in the order of inputs(), and writes to none of them; safe from many threads at once.
  [[nodiscard]] Result<std::vector<Tensor>> try_run(Span<const View> inputs, RunStats* stats = nullptr) const {
    return detail::run(aot_model_run_const, handle_.get(), inputs, num_outputs_, stats);
  }
  [[nodiscard]] std::vector<Tensor> run(Span<const View> inputs, RunStats* stats = nullptr) const {
    return try_run(inputs, stats).value();
  }
  [[nodiscard]] Result<std::vector<Tensor>> try_run(std::initializer_list<View> inputs,
                                                    RunStats* stats = nullptr) const {
    return try_run(Span<const View>(inputs.begin(), inputs.size()), stats);
  }
  [[nodiscard]] std::vector<Tensor> run(std::initializer_list<View> inputs, RunStats* stats = nullptr) const {
    return try_run(inputs, stats).value();
  }

  /// The same in place: what the model writes into an input (TensorInfo::mutated) is there afterwards, as in Python.
  [[nodiscard]] Result<std::vector<Tensor>> try_run_in_place(Span<const MutableView> inputs,
                                                             RunStats* stats = nullptr) const {
    return detail::run(aot_model_run, handle_.get(), inputs, num_outputs_, stats);
  }
  [[nodiscard]] std::vector<Tensor> run_in_place(Span<const MutableView> inputs, RunStats* stats = nullptr) const {
    return try_run_in_place(inputs, stats).value();
  }
  [[nodiscard]] Result<std::vector<Tensor>> try_run_in_place(std::initializer_list<MutableView> inputs,
                                                             RunStats* stats = nullptr) const {
    return try_run_in_place(Span<const MutableView>(inputs.begin(), inputs.size()), stats);
  }
  [[nodiscard]] std::vector<Tensor> run_in_place(std::initializer_list<MutableView> inputs,
                                                 RunStats* stats = nullptr) const {
    return try_run_in_place(inputs, stats).value();
  }

  /// This model with a state of its own. AOT_MODEL_MISMATCH when the package does not say which buffers it changes.
  [[nodiscard]] Result<Session> try_session() const;
  [[nodiscard]] Session session() const;

  [[nodiscard]] std::vector<TensorInfo> inputs() const {
    return describe(aot_model_num_inputs(handle_.get()), aot_model_input_info);
  }
  [[nodiscard]] std::vector<TensorInfo> outputs() const { return describe(num_outputs_, aot_model_output_info); }
  [[nodiscard]] aot_device device() const noexcept { return aot_model_device(handle_.get()); }
  /// The model's metadata as JSON text; valid as long as the model.
  [[nodiscard]] std::string_view metadata() const noexcept { return aot_model_metadata(handle_.get()); }

  /// A file that travels with the models of the bundle, mapped; valid as long as the model. AOT_USAGE when there is
  /// none of that name. Since version 4 of the C API.
  [[nodiscard]] Result<Span<const char>> try_asset(const std::string& name) const {
    const void* data = nullptr;
    std::size_t size = 0;
    const aot_status status = aot_model_asset(handle_.get(), name.c_str(), &data, &size);
    if (status != AOT_OK) return Error::last(status);
    return Span<const char>(static_cast<const char*>(data), size);
  }
  [[nodiscard]] Span<const char> asset(const std::string& name) const { return try_asset(name).value(); }

  /// For calls of the C API.
  [[nodiscard]] aot_model* raw() const noexcept { return handle_.get(); }

 private:
  struct Free {
    void operator()(aot_model* model) const noexcept { aot_model_free(model); }
  };

  explicit Model(aot_model* handle) : handle_(handle), num_outputs_(aot_model_num_outputs(handle)) {}

  template <class InfoOf>
  [[nodiscard]] std::vector<TensorInfo> describe(std::size_t count, InfoOf info_of) const {
    std::vector<TensorInfo> infos;
    for (std::size_t index = 0; index < count; ++index) {
      aot_tensor_info raw{};
      raw.struct_size = sizeof(raw);
      info_of(handle_.get(), index, &raw);  // fails only on an index out of range
      TensorInfo info{raw.name, raw.dtype, raw.ndim >= 0, {}, {}};
      if (raw.mutation != AOT_MUTATION_UNKNOWN) info.mutated = raw.mutation == AOT_MUTATED;
      for (std::int32_t axis = 0; axis < raw.ndim; ++axis) {
        const aot_dim& dim = raw.dims[axis];
        info.dims.push_back({dim.min, dim.max, dim.symbol == nullptr ? "" : dim.symbol});
      }
      infos.push_back(std::move(info));
    }
    return infos;
  }

  std::unique_ptr<aot_model, Free> handle_;
  std::size_t num_outputs_;
};

/// A model with a state of its own: the buffers that it changes from call to call. It shares code and weights with its
/// model, which it may outlive. Its calls follow one another; those of several sessions run at the same time.
class Session {
 public:
  /// As those of Model, with this state.
  [[nodiscard]] Result<std::vector<Tensor>> try_run(Span<const View> inputs, RunStats* stats = nullptr) {
    return detail::run(aot_session_run_const, handle_.get(), inputs, num_outputs_, stats);
  }
  [[nodiscard]] std::vector<Tensor> run(Span<const View> inputs, RunStats* stats = nullptr) {
    return try_run(inputs, stats).value();
  }
  [[nodiscard]] std::vector<Tensor> run(std::initializer_list<View> inputs, RunStats* stats = nullptr) {
    return run(Span<const View>(inputs.begin(), inputs.size()), stats);
  }
  [[nodiscard]] Result<std::vector<Tensor>> try_run_in_place(Span<const MutableView> inputs,
                                                             RunStats* stats = nullptr) {
    return detail::run(aot_session_run, handle_.get(), inputs, num_outputs_, stats);
  }

  /// Makes the state what it was when the model was exported.
  void reset() { require(aot_session_reset(handle_.get())); }

  /// Another session of the model with the same state.
  [[nodiscard]] Session copy() const {
    aot_session* other = nullptr;
    require(aot_session_copy(handle_.get(), &other));
    return Session(other, num_outputs_);
  }

  /// The state; sessions of the same package take it, in other processes and on other machines as well.
  [[nodiscard]] std::vector<unsigned char> save() const {
    std::vector<unsigned char> state(aot_session_saved_size(handle_.get()));
    require(aot_session_save(handle_.get(), state.data(), state.size()));
    return state;
  }
  /// AOT_USAGE when the bytes are no state of this model; it is then as it was.
  void restore(Span<const unsigned char> state) {
    require(aot_session_restore(handle_.get(), state.data(), state.size()));
  }

  /// For calls of the C API.
  [[nodiscard]] aot_session* raw() const noexcept { return handle_.get(); }

 private:
  friend class Model;
  struct Free {
    void operator()(aot_session* session) const noexcept { aot_session_free(session); }
  };

  Session(aot_session* handle, std::size_t num_outputs) : handle_(handle), num_outputs_(num_outputs) {}

  static void require(aot_status status) {
    if (status != AOT_OK) Result<bool>(Error::last(status)).value();
  }

  std::unique_ptr<aot_session, Free> handle_;
  std::size_t num_outputs_;
};

inline Result<Session> Model::try_session() const {
  aot_session* session = nullptr;
  const aot_status status = aot_session_create(handle_.get(), &session);
  if (status != AOT_OK) return Error::last(status);
  return Session(session, num_outputs_);
}
inline Session Model::session() const { return try_session().value(); }

// ---- the machine and the bundle -------------------------------------------------------------------------------------

/// What the self-test of a device found.
struct DeviceReport {
  std::uint32_t num_devices;
  std::uint64_t used_bytes;  ///< of the tested device; 0 for the CPU
  std::uint64_t total_bytes;
  std::string name;
  std::string architecture;  ///< "sm_90", "gfx90a", or the CPU features that models may ask for
  double self_test_ms;
};

/// Moves memory to the device and back and compares. AOT_MACHINE_MISMATCH when the device is not usable.
[[nodiscard]] inline Result<DeviceReport> try_check_device(const std::string& device = "cpu") {
  aot_device_report raw{};
  raw.struct_size = sizeof(raw);
  const aot_status status = aot_device_check(device.c_str(), &raw);
  if (status != AOT_OK) return Error::last(status);
  return DeviceReport{raw.num_devices, raw.used_bytes, raw.total_bytes, raw.name, raw.architecture, raw.self_test_ms};
}
[[nodiscard]] inline DeviceReport check_device(const std::string& device = "cpu") {
  return try_check_device(device).value();
}

/// The bundle: the folder that AOT_BUNDLE names, else the one that libaot_bridge.so was loaded from.
[[nodiscard]] inline std::filesystem::path bundle_path() {
  if (const char* named = std::getenv("AOT_BUNDLE"); named != nullptr && *named != '\0') return named;
  Dl_info info{};
  dladdr(dlsym(RTLD_DEFAULT, "aot_build_info"), &info);
  const std::filesystem::path library = info.dli_fname == nullptr ? "" : info.dli_fname;
  return library.parent_path().parent_path();
}

/// The folder of a model of the bundle; without a name that of its only model. AOT_USAGE when there is no such model.
[[nodiscard]] inline Result<std::string> try_find_model(const std::string& name = "") {
  const std::filesystem::path models = bundle_path() / "models";
  std::error_code ignored;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(models, ignored)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  const std::string& chosen = name.empty() && names.size() == 1 ? names.front() : name;
  if (std::find(names.begin(), names.end(), chosen) != names.end()) return (models / chosen).string();
  std::string known = names.empty() ? "none" : "";
  for (const auto& other : names) known += (known.empty() ? "" : ", ") + other;
  return Error(AOT_USAGE, (name.empty() ? "no model was named" : "no model is named " + name) + "; " + models.string() +
                              " holds " + known +
                              "\na bundle has a folder per model\nname one of them, or set AOT_BUNDLE to a bundle");
}
[[nodiscard]] inline std::string find_model(const std::string& name = "") { return try_find_model(name).value(); }

}  // namespace aot

#if defined(__cpp_lib_ranges)
template <class T>
inline constexpr bool std::ranges::enable_borrowed_range<aot::Span<T>> = true;
#endif

#endif  // AOT_BRIDGE_HPP
