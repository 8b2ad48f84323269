#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

using C = Complex<double>;

C conjugate(C z) { return {z.real(), -z.imag()}; }

// The discrete Fourier transform of one length, by the factors of the length: Cooley and Tukey's algorithm. A length
// with a large prime factor goes by Bluestein's, as a convolution of a power of two. Computed in double whatever the
// dtype.
class Transform {
 public:
  Transform(int64_t n, bool forward) : n_(n), root_(static_cast<size_t>(n)) {
    const double turn = (forward ? -2 : 2) * M_PI / static_cast<double>(n);
    for (int64_t i = 0; i < n; ++i) {
      root_[i] = C(std::cos(turn * static_cast<double>(i)), std::sin(turn * static_cast<double>(i)));
    }
    int64_t rest = n;
    for (const int64_t first : {4, 2, 3, 5}) {
      for (; rest % first == 0; rest /= first) factors_.push_back(first);
    }
    for (int64_t p = 7; p * p <= rest; p += 2) {
      for (; rest % p == 0; rest /= p) factors_.push_back(p);
    }
    if (rest > 1) factors_.push_back(rest);
    if (!factors_.empty() && factors_.back() > kLargestFactor) prepare_convolution(turn < 0 ? -M_PI : M_PI);
  }

  // in[0], in[step], ... to out[0..n); they must not overlap. `scratch` grows as needed.
  void run(const C* in, int64_t step, C* out, std::vector<C>& scratch) const {
    if (convolution_) return convolve(in, step, out, scratch);
    scratch.resize(std::max(scratch.size(), static_cast<size_t>(kLargestFactor)));
    combine(in, step, out, n_, factors_.data(), scratch.data());
  }

 private:
  static constexpr int64_t kLargestFactor = 64;

  // Transforms every p-th number for each of the p offsets, and puts the results together.
  void combine(const C* in, int64_t step, C* out, int64_t n, const int64_t* factor, C* scratch) const {
    if (n == 1) {
      *out = *in;
      return;
    }
    const int64_t p = *factor;
    const int64_t m = n / p;
    for (int64_t q = 0; q < p; ++q) combine(in + q * step, step * p, out + q * m, m, factor + 1, scratch);
    const int64_t stride = n_ / n;  // of this level's roots among all
    for (int64_t u = 0; u < m; ++u) {
      for (int64_t q = 0; q < p; ++q) scratch[q] = out[u + q * m] * root_[q * u * stride];
      if (p == 4) {
        // Multiplication by the quarter turn only swaps the parts.
        const C quarter = root_[n_ / 4];
        const C even = scratch[0] + scratch[2];
        const C odd = scratch[0] - scratch[2];
        const C sum = scratch[1] + scratch[3];
        const C difference = scratch[1] - scratch[3];
        const C turned(-quarter.imag() * difference.imag(), quarter.imag() * difference.real());
        out[u] = even + sum;
        out[u + m] = odd + turned;
        out[u + 2 * m] = even - sum;
        out[u + 3 * m] = odd - turned;
        continue;
      }
      for (int64_t q = 0; q < p; ++q) {
        C sum = scratch[0];
        int64_t at = 0;
        for (int64_t r = 1; r < p; ++r) {
          at += q * m * stride;
          if (at >= n_) at %= n_;
          sum += scratch[r] * root_[at];
        }
        out[u + q * m] = sum;
      }
    }
  }

  void prepare_convolution(double half_turn) {
    int64_t length = 1;
    while (length < 2 * n_ - 1) length *= 2;
    convolution_ = std::make_unique<Transform>(length, true);
    chirp_.resize(static_cast<size_t>(n_));
    std::vector<C> kernel(static_cast<size_t>(length));
    for (int64_t i = 0; i < n_; ++i) {
      // The angle of i^2 / 2 of n; the square is taken modulo 2n lest it lose its low digits.
      const auto square = static_cast<double>(static_cast<__int128>(i) * i % (static_cast<__int128>(2) * n_));
      const double angle = half_turn * square / static_cast<double>(n_);
      chirp_[i] = C(std::cos(angle), std::sin(angle));
      kernel[i] = conjugate(chirp_[i]);
      if (i > 0) kernel[length - i] = kernel[i];
    }
    kernel_.resize(kernel.size());
    std::vector<C> scratch;
    convolution_->run(kernel.data(), 1, kernel_.data(), scratch);
  }

  void convolve(const C* in, int64_t step, C* out, std::vector<C>& scratch) const {
    const size_t length = kernel_.size();
    std::vector<C> padded(length);
    std::vector<C> spectrum(length);
    for (int64_t i = 0; i < n_; ++i) padded[i] = in[i * step] * chirp_[i];
    convolution_->run(padded.data(), 1, spectrum.data(), scratch);
    // The inverse transform is the forward one of the conjugate.
    for (size_t i = 0; i < length; ++i) spectrum[i] = conjugate(spectrum[i] * kernel_[i]);
    convolution_->run(spectrum.data(), 1, padded.data(), scratch);
    const double scale = 1 / static_cast<double>(length);
    for (int64_t i = 0; i < n_; ++i) out[i] = conjugate(padded[i]) * chirp_[i] * scale;
  }

  int64_t n_;
  std::vector<int64_t> factors_;
  std::vector<C> root_;  // of unity: root_[i] = exp(-2 pi i / n), or its conjugate
  std::unique_ptr<Transform> convolution_;
  std::vector<C> chirp_;
  std::vector<C> kernel_;
};

// Torch's numbers for what the result is divided by.
double scale_of(int64_t normalization, int64_t elements) {
  const auto n = static_cast<double>(elements);
  if (normalization == 0) return 1;
  require(normalization == 1 || normalization == 2, "normalization ", normalization, " is none of 0, 1, 2");
  return normalization == 1 ? 1 / std::sqrt(n) : 1 / n;
}

void transform_dim(const Tensor& work, int64_t dim, bool forward, double scale) {
  const int64_t n = work.size(dim);
  const Transform transform(n, forward);
  const int64_t step = work.stride(dim);
  for_each_slice<1>(
      {&work}, dim,
      [&](const std::array<char*, 1>& at) {
        std::vector<C> out(static_cast<size_t>(n));
        std::vector<C> scratch;
        auto* slice = reinterpret_cast<C*>(at[0]);
        transform.run(slice, step, out.data(), scratch);
        for (int64_t i = 0; i < n; ++i) slice[i * step] = out[i] * scale;
      },
      std::max<int64_t>(1, kGrain / 16 / n));
}

// The first half of the transform of real numbers along `dim`; the other half is its conjugate. Pairs of them go as
// complex numbers through a transform of half the length, and are told apart afterwards.
Tensor transform_real(const Tensor& self, int64_t dim, double scale) {
  const Tensor source = to(self, ScalarType::Double);
  const int64_t n = source.size(dim);
  const bool pairs = n % 2 == 0;
  const int64_t length = pairs ? n / 2 : n;
  const Transform transform(length, true);
  Dims sizes = self.sizes;
  sizes[self.wrap(dim)] = n / 2 + 1;
  Tensor out = empty(sizes, ScalarType::ComplexDouble);
  std::vector<C> root(static_cast<size_t>(n / 2 + 1));
  for (int64_t k = 0; k <= n / 2; ++k) {
    const double angle = -2 * M_PI * static_cast<double>(k) / static_cast<double>(n);
    root[k] = C(std::cos(angle), std::sin(angle));
  }
  const int64_t out_step = byte_stride(out, dim);
  const int64_t step = byte_stride(source, dim);
  for_each_slice<2>(
      {&out, &source}, dim,
      [&](const std::array<char*, 2>& at) {
        std::vector<C> packed(static_cast<size_t>(length));
        std::vector<C> result(static_cast<size_t>(length));
        std::vector<C> scratch;
        const Strided<C> to{at[0], out_step};
        const Strided<const double> from{at[1], step};
        for (int64_t i = 0; i < length; ++i) packed[i] = pairs ? C(from[2 * i], from[2 * i + 1]) : C(from[i], 0);
        transform.run(packed.data(), 1, result.data(), scratch);
        for (int64_t k = 0; k <= n / 2; ++k) {
          if (!pairs) {
            to[k] = result[k] * scale;
            continue;
          }
          const C direct = result[k % length];
          const C mirrored = conjugate(result[(length - k) % length]);
          const C odd = (direct - mirrored) * root[k];
          to[k] = C(direct.real() + mirrored.real() + odd.imag(), direct.imag() + mirrored.imag() - odd.real()) *
                  (scale / 2);
        }
      },
      std::max<int64_t>(1, kGrain / 16 / n));
  return out;
}

// Torch's memory order of the result: the dims that are not transformed first, then those that are, both by self's
// strides; `last_stays`: the last of the transformed ones is the innermost.
Dims result_strides(const Tensor& self, const Dims& dims, bool last_stays, const Dims& sizes) {
  auto by_stride = [&](int64_t a, int64_t b) { return self.strides[a] > self.strides[b]; };
  Dims transformed;
  for (const int64_t dim : dims) transformed.push_back(static_cast<int64_t>(self.wrap(dim)));
  std::stable_sort(transformed.begin(), transformed.end() - (last_stays ? 1 : 0), by_stride);
  Dims order;
  for (int64_t d = 0; d < self.dim(); ++d) {
    if (std::find(transformed.begin(), transformed.end(), d) == transformed.end()) order.push_back(d);
  }
  std::stable_sort(order.begin(), order.end(), by_stride);
  for (const int64_t d : transformed) order.push_back(d);
  Dims strides(sizes.size());
  int64_t stride = 1;
  for (size_t i = order.size(); i-- > 0;) {
    strides[order[i]] = stride;
    stride *= std::max<int64_t>(sizes[order[i]], 1);
  }
  return strides;
}

Tensor fft(const Tensor& self, const Dims& dims, int64_t normalization, bool forward, bool onesided) {
  const bool wide = self.dtype == ScalarType::Double || self.dtype == ScalarType::ComplexDouble;
  require(wide || self.dtype == ScalarType::Float || self.dtype == ScalarType::ComplexFloat, "a Fourier transform of ",
          dtype_name(self.dtype));
  const ScalarType result = wide ? ScalarType::ComplexDouble : ScalarType::ComplexFloat;
  int64_t elements = 1;
  for (const int64_t dim : dims) {
    require(self.dim() > 0 && self.size(dim) > 0, "a Fourier transform along dim ", dim, " of shape ",
            to_string(self.sizes));
    elements *= self.size(dim);
  }
  const double scale = scale_of(normalization, elements);
  if (self.numel() == 0 || dims.empty()) {
    Dims sizes = self.sizes;
    if (onesided && !dims.empty()) sizes[self.wrap(dims.back())] = self.size(dims.back()) / 2 + 1;
    return to(dims.empty() ? self : empty(sizes, result), result);
  }
  // The last dim first: of real numbers, the others have half as much to do.
  Tensor work;
  size_t left = dims.size();
  if (onesided) {
    work = transform_real(self, dims.back(), --left == 0 ? scale : 1);
  } else {
    work = empty(self.sizes, ScalarType::ComplexDouble);
    copy(work, self);
  }
  while (left-- > 0) transform_dim(work, dims[left], forward, left == 0 ? scale : 1);
  Tensor out = empty_strided(work.sizes, result_strides(self, dims, !is_complex(self.dtype), work.sizes), result);
  copy(out, work);
  return out;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu__fft_c2c(AtenTensorHandle self, const int64_t* dim, int64_t dim_len_,
                                       int64_t normalization, int32_t forward, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require(is_complex(get(self).dtype), "_fft_c2c of ", dtype_name(get(self).dtype));
    *ret0 = give(fft(get(self), list(dim, dim_len_), normalization, forward != 0, false));
  });
}

AOTITorchError aoti_torch_cpu__fft_r2c(AtenTensorHandle self, const int64_t* dim, int64_t dim_len_,
                                       int64_t normalization, int32_t onesided, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require(is_floating(get(self).dtype), "_fft_r2c of ", dtype_name(get(self).dtype));
    *ret0 = give(fft(get(self), list(dim, dim_len_), normalization, true, onesided != 0));
  });
}
}
