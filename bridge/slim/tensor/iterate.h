// Loops over the elements of strided tensors: broadcast, dims merged and put into memory order, split over threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "tensor/tensor.h"
#include "threads/parallel.h"

namespace slim {

// Strides that torch gives the output of an elementwise operation on these operands, all broadcast to `shape`.
Dims elementwise_strides(std::initializer_list<const Tensor*> operands, const Dims& shape);

// The output of an elementwise operation: the shape its operands broadcast to, in torch's memory order.
Tensor elementwise_output(std::initializer_list<const Tensor*> operands, ScalarType dtype);

namespace detail {

// The dims of a loop over several operands, the fastest first; strides in bytes, one list an operand.
struct LoopDims {
  Dims sizes;
  std::array<Dims, 4> strides;
};

LoopDims plan_loop(const Tensor* const* operands, size_t count, const Dims& shape);

// One call an innermost row. Through a pointer, so that the walk exists once and not once for each operation and dtype.
using Row = void (*)(const void* inner, char* const* at, const int64_t* stride, int64_t n);
void walk(const LoopDims& dims, char* const* bases, size_t operands, int64_t total, int64_t grain, Row row,
          const void* inner);

}  // namespace detail

// Walks N tensors that broadcast to the shape of the first. The innermost dim is left to the caller.
template <size_t N>
class Loop {
 public:
  explicit Loop(const std::array<const Tensor*, N>& operands) : Loop(operands, operands[0]->sizes) {}

  Loop(const std::array<const Tensor*, N>& operands, const Dims& shape)
      : dims_(detail::plan_loop(operands.data(), N, shape)), total_(count(shape)) {
    static_assert(N >= 1 && N <= 4);
    for (size_t i = 0; i < N; ++i) bases_[i] = static_cast<char*>(operands[i]->raw());
  }

  // Calls inner(pointers, byte strides, n): n elements along the innermost dim. `grain`: elements a thread must at
  // least get.
  template <class F>
  void run(const F& inner, int64_t grain = kGrain) const {
    auto row = [](const void* f, char* const* at, const int64_t* stride, int64_t n) {
      std::array<char*, N> pointers;
      std::array<int64_t, N> strides;
      std::copy_n(at, N, pointers.begin());
      std::copy_n(stride, N, strides.begin());
      (*static_cast<const F*>(f))(pointers, strides, n);
    };
    detail::walk(dims_, bases_.data(), N, total_, grain, row, &inner);
  }

 private:
  detail::LoopDims dims_;
  std::array<char*, N> bases_;
  int64_t total_;
};

// out[i] = f(a[i]), with the C++ types of the two tensors given.
template <class R, class A, class F>
void map(const Tensor& out, const Tensor& a, const F& f) {
  Loop<2>({&out, &a}).run([&](const std::array<char*, 2>& at, const std::array<int64_t, 2>& stride, int64_t n) {
    if (stride[0] == sizeof(R) && stride[1] == sizeof(A)) {
      auto* r = reinterpret_cast<R*>(at[0]);
      const auto* x = reinterpret_cast<const A*>(at[1]);
      for (int64_t i = 0; i < n; ++i) r[i] = f(x[i]);
      return;
    }
    for (int64_t i = 0; i < n; ++i) {
      *reinterpret_cast<R*>(at[0] + i * stride[0]) = f(*reinterpret_cast<const A*>(at[1] + i * stride[1]));
    }
  });
}

// out[i] = f(a[i], b[i]), a and b broadcasting to out.
template <class R, class A, class B, class F>
void map(const Tensor& out, const Tensor& a, const Tensor& b, const F& f) {
  Loop<3>({&out, &a, &b}).run([&](const std::array<char*, 3>& at, const std::array<int64_t, 3>& stride, int64_t n) {
    if (stride[0] == sizeof(R) && stride[1] == sizeof(A) && stride[2] == sizeof(B)) {
      auto* r = reinterpret_cast<R*>(at[0]);
      const auto* x = reinterpret_cast<const A*>(at[1]);
      const auto* y = reinterpret_cast<const B*>(at[2]);
      for (int64_t i = 0; i < n; ++i) r[i] = f(x[i], y[i]);
      return;
    }
    for (int64_t i = 0; i < n; ++i) {
      *reinterpret_cast<R*>(at[0] + i * stride[0]) =
          f(*reinterpret_cast<const A*>(at[1] + i * stride[1]), *reinterpret_cast<const B*>(at[2] + i * stride[2]));
    }
  });
}

// f(self[i]) for every element, by reference, in memory order and on one thread.
template <class T, class F>
void for_each(const Tensor& self, const F& f) {
  Loop<1>({&self}).run(
      [&](const std::array<char*, 1>& at, const std::array<int64_t, 1>& stride, int64_t n) {
        for (int64_t i = 0; i < n; ++i) f(*reinterpret_cast<T*>(at[0] + i * stride[0]));
      },
      INT64_MAX);
}

// One-dimensional slices of several tensors along `dim`: scans, sorts, reductions.
// Calls f(pointers, n_slices...) once a slice; tensors[i] must agree in all dims but `dim`.
// f(const std::array<char*, N>& at): the first element of each tensor's slice; step along it by stride(dim) * itemsize.
template <size_t N, class F>
void for_each_slice(const std::array<const Tensor*, N>& tensors, int64_t dim, const F& f, int64_t grain = 1) {
  std::array<Tensor, N> ends;
  std::array<const Tensor*, N> pointers;
  for (size_t i = 0; i < N; ++i) {
    ends[i] = *tensors[i];
    if (ends[i].dim() > 0) {
      const size_t d = ends[i].wrap(dim);
      ends[i].sizes.erase(d);
      ends[i].strides.erase(d);
    }
    pointers[i] = &ends[i];
  }
  Loop<N>(pointers).run(
      [&](const std::array<char*, N>& at, const std::array<int64_t, N>& stride, int64_t n) {
        std::array<char*, N> slice = at;
        for (int64_t k = 0; k < n; ++k) {
          f(slice);
          for (size_t i = 0; i < N; ++i) slice[i] += stride[i];
        }
      },
      grain);
}

// An element's stride along `dim` in bytes; 0 for a tensor without dims.
inline int64_t byte_stride(const Tensor& self, int64_t dim) {
  return self.dim() == 0 ? 0 : self.stride(dim) * static_cast<int64_t>(self.itemsize());
}

// A view of elements at equal byte distances.
template <class T>
struct Strided {
  char* base;
  int64_t step;
  T& operator[](int64_t i) const { return *reinterpret_cast<T*>(base + i * step); }
};

}  // namespace slim
