// softmax(q @ k^T * scale + mask) @ v, without ever holding the whole matrix of weights.
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/gemm.h"
#include "tensor/iterate.h"

using namespace slim;

namespace {

constexpr float kLeast = -std::numeric_limits<float>::infinity();

// Rows of queries and columns of keys that are worked on at once: their products stay in the cache of one core. Keys
// and values are packed once for each block of queries, so those are larger where there are enough without.
constexpr int64_t kFewQueries = 64;
constexpr int64_t kMostQueries = 128;
constexpr int64_t kKeys = 512;

// One head of one sequence, in float32.
struct Head {
  Tensor query;        // [queries, size]
  Tensor key;          // [keys, size]
  Tensor value;        // [keys, size of a value]
  Tensor out;          // [queries, size of a value]
  const Tensor* mask;  // float32 [queries, keys], or null
  float* log_sums;     // one a query
};

// Scores of some queries against some keys: scaled, masked, and -inf behind the diagonal.
void score(const Head& head, const Tensor& scores, int64_t query, int64_t key, float scale, bool causal) {
  const int64_t rows = scores.sizes[0];
  const int64_t columns = scores.sizes[1];
  gemm(scores, narrow(head.query, 0, query, rows), transpose(narrow(head.key, 0, key, columns), 0, 1), 0, scale);
  for (int64_t i = 0; i < rows; ++i) {
    float* row = scores.data<float>() + i * scores.strides[0];
    if (head.mask) {
      const Tensor& mask = *head.mask;
      const float* bias = mask.data<float>() + (query + i) * mask.strides[0] + key * mask.strides[1];
      for (int64_t j = 0; j < columns; ++j) row[j] += bias[j * mask.strides[1]];
    }
    if (causal) {
      for (int64_t j = std::max<int64_t>(0, query + i + 1 - key); j < columns; ++j) row[j] = kLeast;
    }
  }
}

// Loops over a row of scores, for each kind of processor.
#define AOT_SLIM_VECTORS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))

AOT_SLIM_VECTORS float greatest(const float* row, int64_t count) {
  float most = kLeast;
#pragma omp simd reduction(max : most)
  for (int64_t j = 0; j < count; ++j) most = row[j] > most ? row[j] : most;
  return most;
}

// exp by the usual reduction to |r| <= ln(2) / 2 and a polynomial: within 2 ULP, and a loop over it becomes vector
// code.
inline float exponential(float x) {
  x = x < -87.0F ? -87.0F : x;
  const float rounded = x * 1.44269504F + 12582912.0F;
  const float k = rounded - 12582912.0F;
  const float r = (x - k * 0.693359375F) + k * 2.12194440e-4F;
  float sum = 1.9875691500e-4F;
  sum = sum * r + 1.3981999507e-3F;
  sum = sum * r + 8.3334519073e-3F;
  sum = sum * r + 4.1665795894e-2F;
  sum = sum * r + 1.6666665459e-1F;
  sum = sum * r + 5.0000001201e-1F;
  sum = sum * r * r + r + 1.0F;
  const int32_t bits = (static_cast<int32_t>(k) + 127) << 23;
  float power = 0;
  __builtin_memcpy(&power, &bits, sizeof power);
  return sum * power;
}

// Replaces each element by exp(element - most); returns their sum.
AOT_SLIM_VECTORS float exponentials(float* row, int64_t count, float most) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < count; ++j) {
    const float difference = row[j] - most;
    const float weight = exponential(difference);  // also where it is not wanted: vector code has no branches
    const float kept = difference < -87.0F ? 0.0F : weight;
    row[j] = difference != difference ? difference : kept;
    sum += row[j];
  }
  return sum;
}

void attend(const Head& head, int64_t query, int64_t most_rows, float scale, bool causal) {
  const int64_t rows = std::min(most_rows, head.query.sizes[0] - query);
  const int64_t keys = causal ? std::min(head.key.sizes[0], query + rows) : head.key.sizes[0];
  const int64_t width = std::min(kKeys, std::max<int64_t>(keys, 1));
  const Tensor scores_all = empty({rows, width}, ScalarType::Float);
  const Tensor part = empty({rows, head.value.sizes[1]}, ScalarType::Float);
  std::vector<float> most(static_cast<size_t>(rows), kLeast);
  std::vector<float> sums(static_cast<size_t>(rows), 0);
  if (keys == 0) zero(part);
  for (int64_t key = 0; key < keys; key += width) {
    const int64_t columns = std::min(width, keys - key);
    const Tensor scores = narrow(scores_all, 1, 0, columns);
    score(head, scores, query, key, scale, causal);
    for (int64_t i = 0; i < rows; ++i) {
      const auto at = static_cast<size_t>(i);
      float* row = scores.data<float>() + i * scores.strides[0];
      const float now = std::max(most[at], greatest(row, columns));
      if (now == kLeast) {  // nothing to attend to so far
        const bool nan = std::any_of(row, row + columns, [](float x) { return std::isnan(x); });
        std::fill(row, row + columns, nan ? std::nanf("") : 0.0F);
        if (nan) sums[at] = std::nanf("");
        continue;
      }
      const float sum = exponentials(row, columns, now);
      const float shrink = std::exp(most[at] - now);  // what was summed so far was relative to a smaller number
      sums[at] = sums[at] * shrink + sum;
      most[at] = now;
      if (key > 0 && shrink != 1) {
        float* result = part.data<float>() + i * part.strides[0];
        for (int64_t j = 0; j < part.sizes[1]; ++j) result[j] *= shrink;
      }
    }
    gemm(part, scores, narrow(head.value, 0, key, columns), key == 0 ? 0 : 1, 1);
  }
  for (int64_t i = 0; i < rows; ++i) {
    const auto at = static_cast<size_t>(i);
    float* result = part.data<float>() + i * part.strides[0];
    // A query that may look at nothing gets zeros, as torch gives it.
    const float factor = sums[at] == 0 ? 0 : 1 / sums[at];
    for (int64_t j = 0; j < part.sizes[1]; ++j) result[j] *= factor;
    if (head.log_sums) head.log_sums[query + i] = most[at] + std::log(sums[at]);
  }
  copy(narrow(head.out, 0, query, rows), part);
}

}  // namespace

extern "C" {

// query, key, value: [batch, heads, length, size]; mask: broadcasts to [batch, heads, queries, keys], bool or numbers
// to add.
AOTITorchError aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu(
    AtenTensorHandle query, AtenTensorHandle key, AtenTensorHandle value, double dropout_p, int32_t is_causal,
    AtenTensorHandle* attn_mask, double* scale, AtenTensorHandle* ret0, AtenTensorHandle* ret1) {
  return guard(__func__, [&] {
    const Tensor& q = get(query);
    const Tensor& k = get(key);
    const Tensor& v = get(value);
    require(q.dim() == 4 && k.dim() == 4 && v.dim() == 4, "attention on tensors of ", q.dim(), ", ", k.dim(), " and ",
            v.dim(), " dims");
    require(dropout_p == 0, "attention with dropout of ", dropout_p);
    require(is_floating(q.dtype) && q.dtype == k.dtype && q.dtype == v.dtype, "attention on ", dtype_name(q.dtype),
            ", ", dtype_name(k.dtype), " and ", dtype_name(v.dtype));
    const int64_t batch = q.sizes[0];
    const int64_t heads = q.sizes[1];
    const int64_t queries = q.sizes[2];
    const int64_t keys = k.sizes[2];
    const int64_t groups = std::max<int64_t>(k.sizes[1], 1);
    require(k.sizes[0] == batch && v.sizes[0] == batch && heads % groups == 0 && v.sizes[1] == k.sizes[1] &&
                v.sizes[2] == keys && k.sizes[3] == q.sizes[3] && v.sizes[3] == q.sizes[3],
            "attention of queries ", to_string(q.sizes), " to keys ", to_string(k.sizes), " with values ",
            to_string(v.sizes));
    const ScalarType wide = ScalarType::Float;
    require(q.dtype != ScalarType::Double, "attention on float64");
    Tensor mask;
    if (const Tensor* given = get_optional(attn_mask)) {
      Tensor numbers = given->dtype == ScalarType::Bool ? empty_like(*given, wide) : to(*given, wide);
      if (given->dtype == ScalarType::Bool)
        map<float, bool>(numbers, *given, [](bool keep) { return keep ? 0.0F : kLeast; });
      mask = expand(numbers, {batch, heads, queries, keys});
    }
    Tensor out = empty_like(q);
    Tensor log_sums = transpose(empty({batch, queries, heads}, wide), 1, 2);
    const Tensor sums = empty({batch, heads, queries}, wide);
    const Tensor q_wide = to(q, wide);
    const Tensor k_wide = to(k, wide);
    const Tensor v_wide = to(v, wide);
    const auto factor = static_cast<float>(scale ? *scale : 1 / std::sqrt(static_cast<double>(q.sizes[3])));
    const int64_t most_rows = batch * heads < 2 * int64_t{aot_slim_threads()} ? kFewQueries : kMostQueries;
    const int64_t blocks = (queries + most_rows - 1) / most_rows;
    parallel_for(0, batch * heads * blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t b = i / blocks / heads;
        const int64_t h = i / blocks % heads;
        auto head_of = [&](const Tensor& t, int64_t which) { return select(select(t, 0, b), 0, which); };
        const Tensor head_mask = mask.defined() ? head_of(mask, h) : Tensor();
        const int64_t shared = h / (heads / groups);
        const Head head{head_of(q_wide, h),
                        head_of(k_wide, shared),
                        head_of(v_wide, shared),
                        head_of(out, h),
                        mask.defined() ? &head_mask : nullptr,
                        sums.data<float>() + (b * heads + h) * queries};
        attend(head, i % blocks * most_rows, most_rows, factor, is_causal != 0);
      }
    });
    copy(log_sums, sums);
    give_all({ret0, ret1}, std::move(out), std::move(log_sums));
  });
}
}
