// SPDX-License-Identifier: Apache-2.0
#include "base/dtype.h"

#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace aot {
namespace {

struct Row {
  const char* name;
  aot_dtype dlpack;
};

constexpr Row kRows[kDtypeCount] = {
    {"bool", {AOT_BOOL, 8, 1}},      {"uint8", {AOT_UINT, 8, 1}},         {"int8", {AOT_INT, 8, 1}},
    {"int16", {AOT_INT, 16, 1}},     {"int32", {AOT_INT, 32, 1}},         {"int64", {AOT_INT, 64, 1}},
    {"uint16", {AOT_UINT, 16, 1}},   {"uint32", {AOT_UINT, 32, 1}},       {"uint64", {AOT_UINT, 64, 1}},
    {"float16", {AOT_FLOAT, 16, 1}}, {"bfloat16", {AOT_BFLOAT, 16, 1}},   {"float32", {AOT_FLOAT, 32, 1}},
    {"float64", {AOT_FLOAT, 64, 1}}, {"complex64", {AOT_COMPLEX, 64, 1}}, {"complex128", {AOT_COMPLEX, 128, 1}},
};

const Row& row(Dtype dtype) { return kRows[static_cast<int>(dtype)]; }

}  // namespace

const char* name_of(Dtype dtype) { return row(dtype).name; }

std::string dtype_names() {
  std::vector<std::string> names;
  for (const Row& each : kRows) names.emplace_back(each.name);
  return join(names);
}

aot_dtype dlpack_of(Dtype dtype) { return row(dtype).dlpack; }

size_t size_of(Dtype dtype) { return row(dtype).dlpack.bits / 8U; }

Dtype dtype_from_name(std::string_view name) {
  for (int i = 0; i < kDtypeCount; ++i) {
    if (name == kRows[i].name) return static_cast<Dtype>(i);
  }
  throw damaged_error({"the model's metadata names the dtype \"", name, "\""},
                      {"This version of the bridge does not know it."});
}

bool dtype_from_dlpack(aot_dtype dlpack, Dtype* out) {
  for (int i = 0; i < kDtypeCount; ++i) {
    const aot_dtype& known = kRows[i].dlpack;
    if (dlpack.code == known.code && dlpack.bits == known.bits && dlpack.lanes == known.lanes) {
      *out = static_cast<Dtype>(i);
      return true;
    }
  }
  return false;
}

std::string to_string(aot_dtype dlpack) {
  Dtype dtype{};
  if (dtype_from_dlpack(dlpack, &dtype)) return name_of(dtype);
  return concat({"DLPack type (code ", dlpack.code, ", bits ", dlpack.bits, ", lanes ", dlpack.lanes, ")"});
}

}  // namespace aot
