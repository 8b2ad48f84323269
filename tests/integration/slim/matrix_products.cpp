// Products of matrices by every instruction set that this machine has, against sums in double. All matrices end where
// a page begins that nobody may touch.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernel_checks.h"
#include "kernels/matrix/halves.h"

using namespace slim::matrix;
using namespace checks;

namespace {

struct Draw {
  int64_t rows, columns, depth;
  bool left_turned, right_turned, in_panels;
  int64_t gap;  // between rows
  Result how;
  bool has_bias, special;

  std::string text(Isa isa) const {
    return std::string(name_of(isa)) + " " + std::to_string(rows) + " x " + std::to_string(columns) + " x " +
           std::to_string(depth) + (left_turned ? " left turned" : "") + (right_turned ? " right turned" : "") +
           (in_panels ? " panels" : "") + " unary " + std::to_string(static_cast<int>(how.unary)) + " binary " +
           std::to_string(static_cast<int>(how.binary));
  }
};

int64_t size(Random& random) {
  const int64_t kinds[] = {below(random, 4), below(random, 20), below(random, 70), below(random, 200)};
  return kinds[below(random, 4)];
}

Draw draw(Random& random) {
  Draw d{};
  d.rows = size(random);
  d.columns = size(random);
  d.depth = size(random);
  d.left_turned = random() % 4 == 0;
  d.right_turned = random() % 2 == 0;
  d.in_panels = random() % 2 == 0;
  d.gap = below(random, 3);
  d.has_bias = random() % 2 == 0;
  d.special = random() % 5 == 0;
  d.how.scale = random() % 2 ? 1 : 0.5F;
  d.how.keep = random() % 3 ? 0 : 2;
  d.how.unary = static_cast<Unary>(random() % 11);
  d.how.binary = static_cast<Binary>(random() % 4);
  d.how.alpha = d.how.unary == Unary::kHardtanh ? -1 : 0.125F;
  d.how.beta = 1.5F;
  return d;
}

void check(Draw d, Isa isa, Random& random) {
  std::normal_distribution<float> normal;
  const float specials[] = {std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity(),
                            std::nanf(""),
                            1e-40F,
                            -0.0F,
                            3e38F};
  const auto fill = [&](Guarded& numbers, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
      numbers[i] = d.special && random() % 64 == 0 ? specials[random() % 6] : normal(random);
  };
  const auto span = [&](int64_t outer, int64_t inner) { return outer > 0 ? (outer - 1) * (inner + d.gap) + inner : 0; };
  const Left left_strides = d.left_turned ? Left{nullptr, 1, d.rows + d.gap} : Left{nullptr, d.depth + d.gap, 1};
  const Right right_strides =
      d.right_turned ? Right{nullptr, 1, d.depth + d.gap} : Right{nullptr, d.columns + d.gap, 1};
  const int64_t left_count = d.left_turned ? span(d.depth, d.rows) : span(d.rows, d.depth);
  const int64_t right_count = d.right_turned ? span(d.columns, d.depth) : span(d.depth, d.columns);
  const int64_t out_count = span(d.rows, d.columns);
  Guarded left(left_count);
  Guarded right(right_count);
  Guarded bias(d.columns);
  Guarded other(out_count);
  Guarded out(out_count);
  Guarded panels(panel_bytes(Numbers::kFloat32, d.columns, d.depth) / 4);
  fill(left, left_count);
  fill(right, right_count);
  fill(bias, d.columns);
  fill(other, out_count);
  for (int64_t i = 0; i < out_count; ++i) out[i] = d.how.keep == 0 ? std::nanf("") : normal(random);
  const std::vector<float> before(out.data(), out.data() + out_count);
  d.how.out = out.data();
  d.how.row_stride = d.columns + d.gap;
  d.how.other = d.how.binary == Binary::kNone ? nullptr : other.data();
  d.how.other_row_stride = d.columns + d.gap;
  d.how.bias = d.has_bias ? bias.data() : nullptr;
  const Left a{left.data(), left_strides.row_stride, left_strides.step_stride};
  const Right b{right.data(), right_strides.step_stride, right_strides.column_stride};
  const Sizes sizes{d.rows, d.columns, d.depth};
  if (d.in_panels) {
    pack_panels(Numbers::kFloat32, b, d.columns, d.depth, panels.data());
    multiply(Numbers::kFloat32, a, panels.data(), sizes, d.how, isa);
  } else {
    multiply(Numbers::kFloat32, a, b, sizes, d.how, isa);
  }
  for (int64_t i = 0; i < out_count; ++i) {
    const int64_t row = i / (d.columns + d.gap);
    const int64_t column = i % (d.columns + d.gap);
    if (column >= d.columns) {
      if (std::memcmp(&out[i], &before[static_cast<size_t>(i)], sizeof(float)) != 0)
        return fail(d.text(isa) + ": wrote between rows");
      continue;
    }
    double sum = 0;
    double size = 0;
    for (int64_t k = 0; k < d.depth; ++k) {
      const double product = static_cast<double>(left[row * a.row_stride + k * a.step_stride]) *
                             static_cast<double>(right[k * b.step_stride + column * b.column_stride]);
      sum += product;
      size += std::fabs(product);
    }
    double x = sum * static_cast<double>(d.how.scale);
    if (d.has_bias) x += static_cast<double>(bias[column]);
    if (d.how.keep != 0) x += static_cast<double>(d.how.keep * before[static_cast<size_t>(i)]);
    const double y = static_cast<double>(other[i]);
    if (d.how.binary == Binary::kAdd) x += y;
    if (d.how.binary == Binary::kSubtract) x -= y;
    if (d.how.binary == Binary::kMultiply) x *= y;
    const double expected =
        activated(d.how.unary, x, static_cast<double>(d.how.alpha), static_cast<double>(d.how.beta));
    if (d.special && (size > 1e30 || std::fabs(x) > 1e30)) continue;  // float and double overflow at other places
    const double factor = d.how.binary == Binary::kMultiply ? std::fabs(y) + 1 : 1;
    const double tolerance = 1e-6 * ((size + 4) * factor + std::fabs(expected)) * 2;
    if (!close(static_cast<double>(out[i]), expected, tolerance))
      return fail(d.text(isa) + ": at " + std::to_string(row) + ", " + std::to_string(column) + " " +
                  std::to_string(out[i]) + " instead of " + std::to_string(expected));
  }
}

// A matrix of numbers of a type narrower than float.
template <class T>
struct Narrow {
  Narrow(int64_t rows, int64_t columns, bool is_turned, int64_t gap)
      : row_stride(is_turned ? 1 : columns + gap),
        column_stride(is_turned ? rows + gap : 1),
        count(rows > 0 && columns > 0 ? (rows - 1) * row_stride + (columns - 1) * column_stride + 1 : 0),
        memory((count * static_cast<int64_t>(sizeof(T)) + 3) / 4),
        data(reinterpret_cast<T*>(reinterpret_cast<char*>(memory.data()) +
                                  (4 - count * static_cast<int64_t>(sizeof(T)) % 4) % 4)) {}

  T& at(int64_t row, int64_t column) { return data[row * row_stride + column * column_stride]; }

  int64_t row_stride;
  int64_t column_stride;
  int64_t count;
  Guarded memory;
  T* data;  // ends where nobody may touch
};

void check_bytes(Isa isa, bool is_signed, Random& random) {
  const Sizes sizes{size(random), size(random), size(random)};
  Narrow<uint8_t> left(sizes.rows, sizes.depth, random() % 3 == 0, below(random, 3));
  Narrow<int8_t> right(sizes.depth, sizes.columns, random() % 2 == 0, below(random, 3));
  const bool extreme = random() % 4 == 0;  // sums of pairs that do not fit into 16 bits
  for (int64_t i = 0; i < left.count; ++i)
    left.data[i] = static_cast<uint8_t>(extreme ? (is_signed ? 0x80 : 0xff) : random());
  for (int64_t i = 0; i < right.count; ++i)
    right.data[i] = static_cast<int8_t>(extreme ? (random() % 2 ? -128 : 127) : static_cast<int>(random() % 256) - 128);
  std::vector<int32_t> out(static_cast<size_t>(sizes.rows * sizes.columns), -7);
  const Numbers numbers = is_signed ? Numbers::kInt8 : Numbers::kUint8;
  const Left a{left.data, left.row_stride, left.column_stride};
  const Right b{right.data, right.row_stride, right.column_stride};
  if (random() % 2) {
    Guarded panels(panel_bytes(numbers, sizes.columns, sizes.depth) / 4);
    pack_panels(numbers, b, sizes.columns, sizes.depth, panels.data());
    multiply(numbers, a, panels.data(), sizes, out.data(), sizes.columns, isa);
  } else {
    multiply(numbers, a, b, sizes, out.data(), sizes.columns, isa);
  }
  for (int64_t i = 0; i < sizes.rows; ++i) {
    for (int64_t j = 0; j < sizes.columns; ++j) {
      int32_t sum = 0;
      for (int64_t k = 0; k < sizes.depth; ++k)
        sum += (is_signed ? static_cast<int8_t>(left.at(i, k)) : left.at(i, k)) * right.at(k, j);
      const int32_t got = out[static_cast<size_t>(i * sizes.columns + j)];
      if (got != sum)
        return fail(std::string(name_of(isa)) + " bytes, " + std::to_string(sizes.rows) + " x " +
                    std::to_string(sizes.columns) + " x " + std::to_string(sizes.depth) + ": " + std::to_string(got) +
                    " instead of " + std::to_string(sum));
    }
  }
}

// Sums of bytes as floats and as bytes again.
void check_quantised(Isa isa, bool is_signed, Random& random) {
  const Sizes sizes{size(random), size(random), size(random)};
  Narrow<uint8_t> left(sizes.rows, sizes.depth, false, below(random, 3));
  Narrow<int8_t> right(sizes.depth, sizes.columns, random() % 2 == 0, below(random, 3));
  for (int64_t i = 0; i < left.count; ++i) left.data[i] = static_cast<uint8_t>(random());
  for (int64_t i = 0; i < right.count; ++i) right.data[i] = static_cast<int8_t>(random());
  const Numbers numbers = is_signed ? Numbers::kInt8 : Numbers::kUint8;
  Guarded panels(panel_bytes(numbers, sizes.columns, sizes.depth) / 4);
  pack_panels(numbers, {right.data, right.row_stride, right.column_stride}, sizes.columns, sizes.depth, panels.data());
  std::vector<int32_t> column_sums(static_cast<size_t>(sizes.columns));
  Guarded scales(sizes.columns);
  Guarded bias(sizes.columns);
  Guarded other(sizes.rows * sizes.columns);
  std::normal_distribution<float> normal;
  for (int64_t j = 0; j < sizes.columns; ++j) {
    for (int64_t k = 0; k < sizes.depth; ++k) column_sums[static_cast<size_t>(j)] += right.at(k, j);
    scales.data()[j] = std::fabs(normal(random)) * 0.001F;
    bias.data()[j] = normal(random);
  }
  for (int64_t i = 0; i < sizes.rows * sizes.columns; ++i) other.data()[i] = normal(random);
  Quantised how;
  how.scales = scales.data();
  how.zero_point = static_cast<int32_t>(random() % 256) - (is_signed ? 128 : 0);
  how.column_sums = column_sums.data();
  how.result.bias = bias.data();
  how.result.binary = Binary::kAdd;
  how.result.other = other.data();
  how.result.other_row_stride = sizes.columns;
  how.result.unary = random() % 2 ? Unary::kRelu : Unary::kNone;
  Guarded floats(sizes.rows * sizes.columns);
  how.result.out = floats.data();
  how.result.row_stride = sizes.columns;
  std::vector<uint8_t> bytes(static_cast<size_t>(sizes.rows * sizes.columns));
  const bool narrows = random() % 2 == 0;
  if (narrows) how.bytes = bytes.data();
  how.bytes_row_stride = sizes.columns;
  how.is_signed = is_signed;
  how.bytes_scale = 0.05F;
  how.bytes_zero_point = is_signed ? 3 : 100;
  const Left a{left.data, left.row_stride, left.column_stride};
  if (random() % 2) {
    multiply(numbers, a, panels.data(), sizes, how, isa);
  } else {
    std::vector<int32_t> sums(static_cast<size_t>(sizes.rows * sizes.columns));
    multiply(numbers, a, panels.data(), sizes, sums.data(), sizes.columns, isa);
    finish(sums.data(), sizes.columns, 0, sizes.rows, sizes.columns, how, isa);
  }
  for (int64_t i = 0; i < sizes.rows; ++i) {
    for (int64_t j = 0; j < sizes.columns; ++j) {
      int64_t sum = 0;
      for (int64_t k = 0; k < sizes.depth; ++k) {
        const int64_t x = is_signed ? static_cast<int8_t>(left.at(i, k)) : left.at(i, k);
        sum += (x - how.zero_point) * right.at(k, j);
      }
      const int64_t at = i * sizes.columns + j;
      double expected = static_cast<double>(sum) * static_cast<double>(scales[j]) + static_cast<double>(bias[j]) +
                        static_cast<double>(other[at]);
      if (how.result.unary == Unary::kRelu) expected = std::max(expected, 0.0);
      double got = 0;
      double allowed = 1e-5 * (1 + std::fabs(expected));
      if (narrows) {
        const double low = is_signed ? -128 : 0;
        expected = std::min(std::max(expected / 0.05 + how.bytes_zero_point, low), low + 255);
        const uint8_t byte = bytes[static_cast<size_t>(at)];
        got = is_signed ? static_cast<int8_t>(byte) : byte;
        allowed = 0.5 + 1e-3;
      } else {
        got = static_cast<double>(floats[at]);
      }
      if (std::fabs(got - expected) > allowed)
        return fail(std::string(name_of(isa)) + " quantised, " + std::to_string(sizes.rows) + " x " +
                    std::to_string(sizes.columns) + " x " + std::to_string(sizes.depth) + ": " + std::to_string(got) +
                    " instead of " + std::to_string(expected));
    }
  }
}

// Rows as a model may have them: usual ones, some of great differences, zeros, all small or all great, and numbers that
// are none.
void fill_rows(Guarded& rows, int64_t count, Random& random) {
  std::normal_distribution<float> normal;
  const int64_t kind = below(random, 8);
  const float sizes[] = {1e-42F, 1e-33F, 1e31F};
  const float specials[] = {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                            std::nanf("")};
  const float size = kind < 3 ? sizes[kind] : 1;
  for (int64_t i = 0; i < count; ++i) {
    rows[i] = normal(random) * size;
    if (kind == 3 && random() % 64 == 0) rows[i] *= 1000;
    if (kind == 4 && i / 32 % 2 == 0) rows[i] = 0;
    if (kind == 5 && random() % 256 == 0) rows[i] = specials[random() % 3];
  }
}

// What sums of numbers that are hardly there are rounded by.
constexpr double kLeastSums = 1e-42;

// The greatest finite number of a row: what others of it may be rounded by.
double greatest_of(const float* row, int64_t count) {
  double greatest = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (std::isfinite(row[i])) greatest = std::max(greatest, std::fabs(static_cast<double>(row[i])));
  }
  return greatest;
}

// Sizes of products that are streamed: as others, and deep ones.
Sizes streamed_sizes(Random& random) {
  Sizes sizes{size(random), size(random), size(random)};
  if (random() % 4 == 0) sizes = {1 + below(random, 5), sizes.columns, 400 + below(random, 900)};
  return sizes;
}

// Columns of int8 with a scale each.
void check_int8_columns(Isa isa, Random& random) {
  std::normal_distribution<float> normal;
  const Sizes sizes = streamed_sizes(random);
  Guarded left(sizes.rows * sizes.depth);
  fill_rows(left, sizes.rows * sizes.depth, random);
  Narrow<int8_t> right(sizes.columns, sizes.depth, false, 0);
  for (int64_t i = 0; i < right.count; ++i) right.data[i] = static_cast<int8_t>(random());
  Guarded scales(sizes.columns);
  for (int64_t j = 0; j < sizes.columns; ++j) scales.data()[j] = normal(random);
  Guarded out(sizes.rows * sizes.columns);
  Result how;
  how.out = out.data();
  how.row_stride = sizes.columns;
  multiply({left.data(), sizes.depth, 1}, Int8Columns{right.data, scales.data()}, sizes, how, isa);
  for (int64_t i = 0; i < sizes.rows; ++i) {
    const double greatest = greatest_of(left.data() + i * sizes.depth, sizes.depth);
    for (int64_t j = 0; j < sizes.columns; ++j) {
      double sum = 0;
      double most = 1e-3 * greatest;
      for (int64_t k = 0; k < sizes.depth; ++k) {
        const double term = static_cast<double>(left[i * sizes.depth + k]) * right.at(j, k);
        sum += term;
        most += std::fabs(term) + 0.1 * greatest * std::abs(right.at(j, k));
      }
      const double scale = static_cast<double>(scales[j]);
      const auto got = static_cast<double>(out[i * sizes.columns + j]);
      if (!close(got, sum * scale, 1e-6 * most * std::fabs(scale) + kLeastSums))
        return fail(std::string(name_of(isa)) + " int8 columns, " + std::to_string(sizes.rows) + " x " +
                    std::to_string(sizes.columns) + " x " + std::to_string(sizes.depth) + ": " + std::to_string(got) +
                    " instead of " + std::to_string(sum * scale));
    }
  }
}

// Four bits: `bits` [columns][depth] in blocks, as torch packs them with AVX-512.
void pack_nibbles(const std::vector<uint8_t>& bits, int64_t columns, int64_t depth, uint8_t* to) {
  for (int64_t block = 0; block < columns; block += 64) {
    const int64_t width = std::min<int64_t>(64, columns - block);
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t i = 0; i < width / 2; ++i) {
        const int64_t low = width == 64 ? i : 2 * i;
        const int64_t high = width == 64 ? i + 32 : 2 * i + 1;
        const auto at = [&](int64_t column) { return bits[static_cast<size_t>((block + column) * depth + k)]; };
        *to++ = static_cast<uint8_t>(at(low) | (at(high) << 4));
      }
    }
  }
}

void check_int4_blocks(Isa isa, Random& random) {
  std::normal_distribution<float> normal;
  const int64_t group = int64_t{32} << below(random, 3);
  const Sizes sizes{size(random), 16 * below(random, 13), group * below(random, 4)};
  const int64_t groups = sizes.depth / group;
  Guarded left(sizes.rows * sizes.depth);
  fill_rows(left, sizes.rows * sizes.depth, random);
  const int64_t count = sizes.rows * sizes.depth;
  if (count > 0 && random() % 8 == 0) {
    // Times a weight it is finite, times the weight's bits it would not be.
    for (int64_t i = 0; i < count; ++i) left[i] = 0;
    left[below(random, count)] = 3e38F;
  }
  std::vector<uint8_t> bits(static_cast<size_t>(sizes.columns * sizes.depth));
  for (uint8_t& one : bits) one = random() % 16;
  Narrow<uint8_t> packed(sizes.columns, sizes.depth / 2, false, 0);
  pack_nibbles(bits, sizes.columns, sizes.depth, packed.data);
  const bool halves = random() % 2 == 0;
  Guarded pairs(groups * sizes.columns * 2);
  Narrow<uint16_t> half_pairs(groups, sizes.columns * 2, false, 0);
  for (int64_t i = 0; i < groups * sizes.columns * 2; ++i) {
    // Zeros of a multiple of the scale make numbers that are 0 with other bits.
    const float value = i % 2 == 1 && random() % 4 == 0 ? -8 * pairs[i - 1] : normal(random);
    uint32_t wide = 0;
    std::memcpy(&wide, &value, sizeof wide);
    wide &= 0xffff0000;  // a bfloat16
    std::memcpy(pairs.data() + i, &wide, sizeof wide);
    half_pairs.data[i] = static_cast<uint16_t>(wide >> 16);
  }
  Guarded out(sizes.rows * sizes.columns);
  Result how;
  how.out = out.data();
  how.row_stride = sizes.columns;
  const void* given = halves ? static_cast<const void*>(half_pairs.data) : pairs.data();
  multiply({left.data(), sizes.depth, 1}, Int4Blocks{packed.data, group, given, halves}, sizes, how, isa);
  for (int64_t i = 0; i < sizes.rows; ++i) {
    const double greatest = greatest_of(left.data() + i * sizes.depth, sizes.depth);
    for (int64_t j = 0; j < sizes.columns; ++j) {
      double sum = 0;
      double most = 1e-3 * greatest;
      for (int64_t k = 0; k < sizes.depth; ++k) {
        const int64_t pair = 2 * (k / group * sizes.columns + j);
        const auto scale = static_cast<double>(pairs[pair]);
        const auto zero = static_cast<double>(pairs[pair + 1]);
        const double number = bits[static_cast<size_t>(j * sizes.depth + k)];
        const auto x = static_cast<double>(left[i * sizes.depth + k]);
        sum += x * ((number - 8) * scale + zero);
        most += (std::fabs(x) + 0.1 * greatest) * (16 * std::fabs(scale) + std::fabs(zero));
      }
      if (std::fabs(sum) > 3e38) continue;  // may be infinite
      const auto got = static_cast<double>(out[i * sizes.columns + j]);
      if (!close(got, sum, 1e-6 * most + kLeastSums))
        return fail(std::string(name_of(isa)) + " int4 blocks, " + std::to_string(sizes.rows) + " x " +
                    std::to_string(sizes.columns) + " x " + std::to_string(sizes.depth) + ": " + std::to_string(got) +
                    " instead of " + std::to_string(sum));
    }
  }
}

double widened(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value = 0;
  std::memcpy(&value, &wide, sizeof value);
  return static_cast<double>(value);
}

void check_bfloat16(Isa isa, Random& random) {
  std::normal_distribution<float> normal;
  const Sizes sizes{size(random), size(random), size(random)};
  Narrow<uint16_t> left(sizes.rows, sizes.depth, random() % 3 == 0, below(random, 3));
  Narrow<uint16_t> right(sizes.depth, sizes.columns, random() % 2 == 0, below(random, 3));
  const auto draw_one = [&] {
    const float value = normal(random);
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return static_cast<uint16_t>(bits >> 16);
  };
  for (int64_t i = 0; i < left.count; ++i) left.data[i] = draw_one();
  for (int64_t i = 0; i < right.count; ++i) right.data[i] = draw_one();
  Guarded out(sizes.rows * sizes.columns);
  Guarded panels(panel_bytes(Numbers::kBfloat16, sizes.columns, sizes.depth) / 4);
  Result how;
  how.out = out.data();
  how.row_stride = sizes.columns;
  const Left a{left.data, left.row_stride, left.column_stride};
  const Right b{right.data, right.row_stride, right.column_stride};
  const bool in_panels = random() % 2 == 0;
  if (in_panels) {
    pack_panels(Numbers::kBfloat16, b, sizes.columns, sizes.depth, panels.data());
    multiply(Numbers::kBfloat16, a, panels.data(), sizes, how, isa);
  } else {
    multiply(Numbers::kBfloat16, a, b, sizes, how, isa);
  }
  for (int64_t i = 0; i < sizes.rows; ++i) {
    for (int64_t j = 0; j < sizes.columns; ++j) {
      double sum = 0;
      double size = 0;
      for (int64_t k = 0; k < sizes.depth; ++k) {
        sum += widened(left.at(i, k)) * widened(right.at(k, j));
        size += std::fabs(widened(left.at(i, k)) * widened(right.at(k, j)));
      }
      if (!close(static_cast<double>(out[i * sizes.columns + j]), sum, 1e-6 * (size + 1)))
        return fail(std::string(name_of(isa)) + " bfloat16, " + std::to_string(sizes.rows) + " x " +
                    std::to_string(sizes.columns) + " x " + std::to_string(sizes.depth) + ": " +
                    std::to_string(out[i * sizes.columns + j]) + " instead of " + std::to_string(sum));
    }
  }
  // The same in bfloat16, with a bias, something added and a function: what float32 gives, rounded.
  Narrow<uint16_t> other(sizes.rows, sizes.columns, false, below(random, 3));
  Narrow<uint16_t> halves(sizes.rows, sizes.columns, false, below(random, 3));
  for (int64_t i = 0; i < other.count; ++i) other.data[i] = draw_one();
  Guarded bias(sizes.columns);
  Bfloat16Result rounded;
  for (int64_t j = 0; j < sizes.columns; ++j) bias[j] = normal(random);
  rounded.result.bias = bias.data();
  rounded.result.binary = random() % 2 ? Binary::kAdd : Binary::kNone;
  rounded.result.unary = random() % 2 ? Unary::kRelu : Unary::kNone;
  rounded.out = halves.data;
  rounded.row_stride = halves.row_stride;
  rounded.other = other.data;
  rounded.other_row_stride = other.row_stride;
  if (in_panels) {
    multiply(a, panels.data(), sizes, rounded, isa);
  } else {
    multiply(a, b, sizes, rounded, isa);
  }
  for (int64_t i = 0; i < sizes.rows; ++i) {
    for (int64_t j = 0; j < sizes.columns; ++j) {
      double expected = static_cast<double>(out[i * sizes.columns + j]) + static_cast<double>(bias[j]);
      if (rounded.result.binary == Binary::kAdd) expected += widened(other.at(i, j));
      if (rounded.result.unary == Unary::kRelu) expected = std::max(expected, 0.0);
      if (!close(widened(halves.at(i, j)), expected, 0.004 * std::fabs(expected) + 1e-5))
        return fail(std::string(name_of(isa)) + " into bfloat16: " + std::to_string(widened(halves.at(i, j))) +
                    " instead of " + std::to_string(expected));
    }
  }
}

// float32 times float16.
void check_float16(Isa isa, Random& random) {
  std::normal_distribution<float> normal;
  const Sizes sizes{size(random), size(random), size(random)};
  Guarded left(sizes.rows * sizes.depth);
  for (int64_t i = 0; i < sizes.rows * sizes.depth; ++i) left[i] = normal(random);
  Narrow<uint16_t> right(sizes.depth, sizes.columns, random() % 2 == 0, below(random, 3));
  std::vector<float> numbers(static_cast<size_t>(right.count));
  for (float& number : numbers) number = normal(random);
  narrow(Half::kFloat16, numbers.data(), right.count, right.data);
  widen(Half::kFloat16, right.data, right.count, numbers.data());
  Guarded out(sizes.rows * sizes.columns);
  Result how;
  how.out = out.data();
  how.row_stride = sizes.columns;
  const Left a{left.data(), sizes.depth, 1};
  const Right b{right.data, right.row_stride, right.column_stride};
  if (random() % 2) {
    Guarded panels(panel_bytes(Numbers::kFloat16, sizes.columns, sizes.depth) / 4);
    pack_panels(Numbers::kFloat16, b, sizes.columns, sizes.depth, panels.data());
    multiply(Numbers::kFloat16, a, panels.data(), sizes, how, isa);
  } else {
    multiply(Numbers::kFloat16, a, b, sizes, how, isa);
  }
  for (int64_t i = 0; i < sizes.rows; ++i) {
    for (int64_t j = 0; j < sizes.columns; ++j) {
      double sum = 0;
      double size = 0;
      for (int64_t k = 0; k < sizes.depth; ++k) {
        const double product =
            static_cast<double>(left[i * sizes.depth + k]) *
            static_cast<double>(numbers[static_cast<size_t>(k * right.row_stride + j * right.column_stride)]);
        sum += product;
        size += std::fabs(product);
      }
      if (!close(static_cast<double>(out[i * sizes.columns + j]), sum, 1e-6 * (size + 1)))
        return fail(std::string(name_of(isa)) + " float16, " + std::to_string(sizes.rows) + " x " +
                    std::to_string(sizes.columns) + " x " + std::to_string(sizes.depth) + ": " +
                    std::to_string(out[i * sizes.columns + j]) + " instead of " + std::to_string(sum));
    }
  }
}

// What each finite number of two bytes stands for, without its sign, and the power of two that rounds to infinity.
std::vector<double> numbers_of(Half type) {
  const int mantissa = type == Half::kBfloat16 ? 7 : 10;
  const int lowest = type == Half::kBfloat16 ? -126 : -14;
  const int infinite = type == Half::kBfloat16 ? 0x7f80 : 0x7c00;
  std::vector<double> numbers;
  for (int bits = 0; bits <= infinite; ++bits) {
    const int exponent = bits >> mantissa;
    const int digits = bits & ((1 << mantissa) - 1);
    const int whole = exponent == 0 ? digits : digits + (1 << mantissa);
    numbers.push_back(std::ldexp(whole, std::max(exponent, 1) - 1 + lowest - mantissa));
  }
  return numbers;
}

uint16_t nearest(const std::vector<double>& numbers, float value) {
  const auto above = std::lower_bound(numbers.begin(), numbers.end() - 1, std::fabs(static_cast<double>(value)));
  auto bits = static_cast<uint16_t>(above - numbers.begin());
  if (bits > 0) {
    const double up = numbers[bits] - std::fabs(static_cast<double>(value));
    const double down = std::fabs(static_cast<double>(value)) - numbers[bits - 1U];
    if (down < up || (down == up && bits % 2 == 1)) --bits;
  }
  return static_cast<uint16_t>(bits | (std::signbit(value) ? 0x8000 : 0));
}

// Numbers of two bytes: all of them widened, and floats of all sizes narrowed.
void check_halves(Isa isa, Random& random) {
  for (const Half type : {Half::kBfloat16, Half::kFloat16}) {
    const std::vector<double> numbers = numbers_of(type);
    const int64_t count = 2 * below(random, 50) + 1;
    Narrow<uint16_t> halves(1, count, false, 0);
    Guarded floats(count);
    for (int64_t first = 0; first < 0x10000; first += count) {
      for (int64_t i = 0; i < count; ++i) halves.data[i] = static_cast<uint16_t>(first + i);
      widen(type, halves.data, count, floats.data(), isa);
      for (int64_t i = 0; i < count; ++i) {
        const auto bits = static_cast<size_t>(halves.data[i] & 0x7fff);
        const bool is_finite = bits + 1 < numbers.size();
        const double size = is_finite ? numbers[bits] : std::numeric_limits<double>::infinity();
        const bool is_right = bits >= numbers.size() ? std::isnan(floats[i])
                                                     : std::fabs(static_cast<double>(floats[i])) == size &&
                                                           std::signbit(floats[i]) == (halves.data[i] >= 0x8000);
        if (!is_right)
          return fail(std::string(name_of(isa)) + ": " + std::to_string(halves.data[i]) + " widened is " +
                      std::to_string(floats[i]));
      }
    }
    for (int round = 0; round < 20; ++round) {
      for (int64_t i = 0; i < count; ++i) {
        const auto bits = static_cast<uint32_t>(random());
        std::memcpy(floats.data() + i, &bits, sizeof bits);
        const auto near = static_cast<float>(numbers[static_cast<size_t>(below(random, 0x7000))]);
        if (random() % 3 == 0) floats[i] = near * (1 + static_cast<float>(below(random, 5) - 2) / 4096);
      }
      narrow(type, floats.data(), count, halves.data, isa);
      for (int64_t i = 0; i < count; ++i) {
        uint16_t expected = nearest(numbers, floats[i]);
        if (std::isnan(floats[i]))
          expected = type == Half::kBfloat16 ? 0x7fc0 : (std::signbit(floats[i]) ? 0xfe00 : 0x7e00);
        if (halves.data[i] != expected)
          return fail(std::string(name_of(isa)) + ": " + std::to_string(floats[i]) + " narrowed is " +
                      std::to_string(halves.data[i]) + " instead of " + std::to_string(expected));
      }
    }
  }
}

}  // namespace

// How many draws.
int main(int count, char** arguments) {
  const long draws = count > 1 ? std::strtol(arguments[1], nullptr, 10) : 200;
  Random random(20);
  for (const Isa isa : kSets) {
    if (isa > best_isa()) break;
    std::printf("%s\n", name_of(isa));
    check_halves(isa, random);
    // A process that may not use tiles multiplies without them, and nobody would notice.
    const bool by_tiles = kernels_of(isa).table(Numbers::kBfloat16, 16).in_block > 1;
    if (by_tiles != (isa == Isa::kAmx)) fail(std::string(name_of(isa)) + (by_tiles ? ": tiles" : ": no tiles"));
    for (long i = 0; i < draws; ++i) {
      check(draw(random), isa, random);
      check_bytes(isa, i % 2 == 0, random);
      check_bfloat16(isa, random);
      check_float16(isa, random);
      check_quantised(isa, i % 2 == 0, random);
      check_int8_columns(isa, random);
      check_int4_blocks(isa, random);
    }
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
