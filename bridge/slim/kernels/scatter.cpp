#include "kernels/scatter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

namespace slim {
namespace {

// One row: n elements, steps in bytes, each to be reduced into the place `index` elements of `unit` bytes further on.
struct Places {
  char* into;
  int64_t into_step;
  const char* index;
  int64_t index_step;
  const char* from;
  int64_t from_step;
  int64_t n;
  int64_t unit;
};
using ReduceRow = void (*)(const Places& p);

template <class T, class F>
void reduce_row(const Places& p, const F& f) {
  if (p.index_step == 0 && p.into_step == sizeof(T) && p.from_step == sizeof(T)) {
    // Whole rows that go to one place, as a graph's messages to a node or slices to an index.
    T* into = reinterpret_cast<T*>(p.into + *reinterpret_cast<const int64_t*>(p.index) * p.unit);
    const T* from = reinterpret_cast<const T*>(p.from);
#pragma omp simd
    for (int64_t i = 0; i < p.n; ++i) into[i] = f(into[i], from[i]);
    return;
  }
  for (int64_t i = 0; i < p.n; ++i) {
    const int64_t place = *reinterpret_cast<const int64_t*>(p.index + i * p.index_step);
    T& into = *reinterpret_cast<T*>(p.into + i * p.into_step + place * p.unit);
    into = f(into, *reinterpret_cast<const T*>(p.from + i * p.from_step));
  }
}

template <class T>
T add(T a, T b) {
  if constexpr (std::is_same_v<T, bool>) {
    return a || b;
  } else {
    return wrapping_add(a, b);
  }
}

template <class T>
T multiply(T a, T b) {
  if constexpr (std::is_same_v<T, bool>) {
    return a && b;
  } else {
    return wrapping_multiply(a, b);
  }
}

template <class T>
ReduceRow row_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::kSum:
    case Reduction::kMean:
      return [](const Places& p) { reduce_row<T>(p, [](T a, T b) { return add(a, b); }); };
    case Reduction::kProduct:
      return [](const Places& p) { reduce_row<T>(p, [](T a, T b) { return multiply(a, b); }); };
    case Reduction::kMaximum:
      if constexpr (!is_complex_v<T>) {
        return [](const Places& p) { reduce_row<T>(p, [](T a, T b) { return is_nan(b) || a < b ? b : a; }); };
      }
      break;
    case Reduction::kMinimum:
      if constexpr (!is_complex_v<T>) {
        return [](const Places& p) { reduce_row<T>(p, [](T a, T b) { return is_nan(b) || b < a ? b : a; }); };
      }
      break;
    case Reduction::kAssign:
      break;
  }
  fail("complex numbers have no order");
}

ReduceRow row_of(ScalarType dtype, Reduction reduction) {
  if (reduction != Reduction::kAssign) {
    return visit_all(dtype, [&](auto type) { return row_of<typename decltype(type)::type>(reduction); });
  }
  return visit_size(element_size(dtype), [](auto type) -> ReduceRow {
    using T = typename decltype(type)::type;
    return [](const Places& p) { reduce_row<T>(p, [](const T&, const T& b) { return b; }); };
  });
}

// The largest dim along which no two elements can meet: `into` has a stride of its own there.
std::optional<size_t> dim_to_split(const Tensor& into, const Tensor& index) {
  std::optional<size_t> best;
  for (size_t d = 0; d < into.sizes.size(); ++d) {
    const bool apart = into.strides[d] != 0 && into.sizes[d] > 1;
    if (apart && (!best || index.sizes[d] > index.sizes[*best])) best = d;
  }
  return best;
}

}  // namespace

Reduction reduction(std::string_view name) {
  if (name == "sum" || name == "add") return Reduction::kSum;
  if (name == "prod" || name == "multiply") return Reduction::kProduct;
  if (name == "mean") return Reduction::kMean;
  if (name == "amax") return Reduction::kMaximum;
  if (name == "amin") return Reduction::kMinimum;
  fail("reduction \"", name, "\" is none of sum, prod, mean, amax, amin");
}

Tensor identity(Reduction reduction, ScalarType dtype) {
  Tensor value = empty({}, dtype);
  visit_all(dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    T& to = *value.data<T>();
    if (reduction == Reduction::kProduct) {
      to = static_cast<T>(1);
    } else if (reduction == Reduction::kMaximum || reduction == Reduction::kMinimum) {
      const bool least = reduction == Reduction::kMaximum;
      if constexpr (is_floating_v<T>) {
        to = static_cast<T>(least ? -INFINITY : INFINITY);
      } else if constexpr (!is_complex_v<T>) {
        to = least ? std::numeric_limits<T>::lowest() : std::numeric_limits<T>::max();
      }
    } else {
      to = static_cast<T>(0);
    }
  });
  return value;
}

void check_indices(const Tensor& index, const Along& along) {
  Tensor distinct = index;
  for (size_t d = 0; d < distinct.sizes.size(); ++d) {
    if (distinct.strides[d] == 0 && distinct.sizes[d] > 1) distinct.sizes[d] = 1;  // broadcast: once is enough
  }
  Loop<1>({&distinct}).run([&](const std::array<char*, 1>& at, const std::array<int64_t, 1>& stride, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t place = *reinterpret_cast<const int64_t*>(at[0] + i * stride[0]);
      require(place >= 0 && place < along.size, "index ", place, " is out of range for size ", along.size, " of dim ",
              along.dim);
    }
  });
}

void scatter(const Tensor& into, const Tensor& index, const Tensor& from, const Along& along, Reduction reduction) {
  if (index.numel() == 0) return;
  check_indices(index, along);
  const ReduceRow row = row_of(into.dtype, reduction);
  const int64_t unit_bytes = along.stride * static_cast<int64_t>(into.itemsize());
  auto on_one_thread = [&](const Tensor& to, const Tensor& at, const Tensor& source) {
    Loop<3>({&to, &at, &source})
        .run([&](const std::array<char*, 3>& p, const std::array<int64_t, 3>& step,
                 int64_t n) { row({p[0], step[0], p[1], step[1], p[2], step[2], n, unit_bytes}); },
             INT64_MAX);
  };
  const std::optional<size_t> split = dim_to_split(into, index);
  if (!split) return on_one_thread(into, index, from);
  const auto d = static_cast<int64_t>(*split);
  parallel_for(0, index.size(d), std::max<int64_t>(1, kGrain / (index.numel() / index.size(d))),
               [&](int64_t begin, int64_t end) {
                 on_one_thread(narrow(into, d, begin, end - begin), narrow(index, d, begin, end - begin),
                               narrow(from, d, begin, end - begin));
               });
}

void divide_by_counts(const Tensor& into, const Tensor& counts) {
  visit_number(into.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    map<T, T, T>(into, into, counts, [](T sum, T count) -> T {
      if (count == T(0)) return sum;
      if constexpr (std::is_integral_v<T>) {
        // NOLINTBEGIN(bugprone-signed-char-misuse,cert-str34-c): int8 is a number
        const auto a = static_cast<int64_t>(sum);
        const auto b = static_cast<int64_t>(count);
        // NOLINTEND(bugprone-signed-char-misuse,cert-str34-c)
        return static_cast<T>(a / b - (a % b != 0 && (a < 0) != (b < 0)));
      } else {
        return sum / count;
      }
    });
  });
}

}  // namespace slim
