// SPDX-License-Identifier: Apache-2.0
#include "model/debug.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "base/dtype.h"
#include "base/text.h"
#include "runtime/tensor.h"

namespace aot {
namespace {

template <class T>
double load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return static_cast<double>(value);
}

double from_bfloat16(const uint8_t* bytes) {
  uint16_t high = 0;
  std::memcpy(&high, bytes, sizeof high);
  const uint32_t bits = static_cast<uint32_t>(high) << 16U;
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

double from_float16(const uint8_t* bytes) {
  uint16_t bits = 0;
  std::memcpy(&bits, bytes, sizeof bits);
  const int exponent = (bits >> 10) & 0x1f;
  const int mantissa = bits & 0x3ff;
  double magnitude = 0;
  if (exponent == 0x1f) {
    magnitude = mantissa != 0 ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
  } else if (exponent == 0) {
    magnitude = mantissa * 0x1p-24;
  } else {
    magnitude = (mantissa + 0x400) * static_cast<double>(1 << exponent) * 0x1p-25;
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

double number_at(const uint8_t* bytes, Dtype dtype) {
  switch (dtype) {
    case Dtype::Bool:
      return *bytes != 0 ? 1 : 0;
    case Dtype::UInt8:
      return load<uint8_t>(bytes);
    case Dtype::Int8:
      return load<int8_t>(bytes);
    case Dtype::Int16:
      return load<int16_t>(bytes);
    case Dtype::Int32:
      return load<int32_t>(bytes);
    case Dtype::Int64:
      return load<int64_t>(bytes);
    case Dtype::UInt16:
      return load<uint16_t>(bytes);
    case Dtype::UInt32:
      return load<uint32_t>(bytes);
    case Dtype::UInt64:
      return load<uint64_t>(bytes);
    case Dtype::Float16:
      return from_float16(bytes);
    case Dtype::BFloat16:
      return from_bfloat16(bytes);
    case Dtype::Float32:
      return load<float>(bytes);
    case Dtype::Float64:
      return load<double>(bytes);
    case Dtype::Complex64:
      return std::hypot(load<float>(bytes), load<float>(bytes + sizeof(float)));
    case Dtype::Complex128:
      return std::hypot(load<double>(bytes), load<double>(bytes + sizeof(double)));
  }
  return 0;
}

std::string head(const aot_view& view) {
  // Static analysers do not see that null strides are contiguous.
  const bool is_plain = view.strides == nullptr || is_contiguous(view);
  const std::string strides = is_plain ? "" : concat({" strides ", list(view.strides, view.ndim)});
  return concat({to_string(view.dtype), " ", list(view.shape, view.ndim), strides, " on ", to_string(view.device)});
}

}  // namespace

bool is_debugging() {
  static const bool enabled = [] {
    const char* value = std::getenv("AOT_DEBUG");  // NOLINT(concurrency-mt-unsafe)
    return value != nullptr && *value != '\0' && std::strcmp(value, "0") != 0;
  }();
  return enabled;
}

void debug_line(const std::string& text) {
  const std::string line = concat({"aot: ", text, "\n"});
  std::fputs(line.c_str(), stderr);
}

std::string describe(const aot_view& view) {
  Dtype dtype{};
  if (!dtype_from_dlpack(view.dtype, &dtype)) return head(view);
  const size_t size = size_of(dtype);
  const auto elements = static_cast<size_t>(count_elements(view.shape, view.ndim));
  std::vector<uint8_t> packed(elements * size);
  copy_strided(packed.data(), nullptr, first_byte(view), view.strides, view.shape, view.ndim, size);
  double least = std::numeric_limits<double>::infinity();
  double most = -least;
  double sum = 0;
  size_t finite = 0;
  size_t nan = 0;
  for (size_t i = 0; i < elements; ++i) {
    const double value = number_at(packed.data() + i * size, dtype);
    if (std::isnan(value)) ++nan;
    if (!std::isfinite(value)) continue;
    ++finite;
    sum += value;
    least = std::min(least, value);
    most = std::max(most, value);
  }
  if (elements == 0) return concat({head(view), ": empty"});
  char numbers[160] = "";
  if (finite > 0) {
    std::snprintf(numbers, sizeof numbers, " min %.6g max %.6g mean %.6g,", least, most,
                  sum / static_cast<double>(finite));
  }
  return concat({head(view), ":", numbers, " ", nan, " NaN, ", elements - finite - nan, " inf"});
}

void debug_tensor(const std::string& label, const aot_view& view) {
  if (view.device.type == AOT_DEVICE_CPU) {
    debug_line(concat({label, ": ", describe(view)}));
    return;
  }
  const size_t bytes = static_cast<size_t>(count_elements(view.shape, view.ndim)) * (view.dtype.bits / 8U);
  std::vector<uint8_t> host(bytes);
  copy_to_host(view, host.data(), bytes);
  aot_view on_host = view;
  on_host.data = host.data();
  on_host.byte_offset = 0;
  on_host.strides = nullptr;
  on_host.device = {AOT_DEVICE_CPU, 0};
  debug_line(concat({label, " (from ", to_string(view.device), "): ", describe(on_host)}));
}

}  // namespace aot
