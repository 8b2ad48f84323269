#include "tensor/dtype.h"

#include <array>

namespace slim {
namespace {

struct Entry {
  const char* name;
  size_t bytes;
};

// Indexed by torch's number. Size 0: a number that no tensor may have here.
constexpr std::array<Entry, 46> kTable = [] {
  std::array<Entry, 46> table{};
  auto set = [&](ScalarType dtype, const char* name, size_t bytes) {
    table[static_cast<size_t>(dtype)] = {name, bytes};
  };
  set(ScalarType::Byte, "uint8", 1);
  set(ScalarType::Char, "int8", 1);
  set(ScalarType::Short, "int16", 2);
  set(ScalarType::Int, "int32", 4);
  set(ScalarType::Long, "int64", 8);
  set(ScalarType::Half, "float16", 2);
  set(ScalarType::Float, "float32", 4);
  set(ScalarType::Double, "float64", 8);
  set(ScalarType::ComplexHalf, "complex32", 4);
  set(ScalarType::ComplexFloat, "complex64", 8);
  set(ScalarType::ComplexDouble, "complex128", 16);
  set(ScalarType::Bool, "bool", 1);
  set(ScalarType::QInt8, "qint8", 1);
  set(ScalarType::QUInt8, "quint8", 1);
  set(ScalarType::QInt32, "qint32", 4);
  set(ScalarType::BFloat16, "bfloat16", 2);
  set(ScalarType::Float8_e5m2, "float8_e5m2", 1);
  set(ScalarType::Float8_e4m3fn, "float8_e4m3fn", 1);
  set(ScalarType::Float8_e5m2fnuz, "float8_e5m2fnuz", 1);
  set(ScalarType::Float8_e4m3fnuz, "float8_e4m3fnuz", 1);
  set(ScalarType::UInt16, "uint16", 2);
  set(ScalarType::UInt32, "uint32", 4);
  set(ScalarType::UInt64, "uint64", 8);
  set(ScalarType::Float8_e8m0fnu, "float8_e8m0fnu", 1);
  set(ScalarType::Float4_e2m1fn_x2, "float4_e2m1fn_x2", 1);
  return table;
}();

const Entry* find(ScalarType dtype) noexcept {
  const auto number = static_cast<size_t>(dtype);
  return number < kTable.size() && kTable[number].bytes != 0 ? &kTable[number] : nullptr;
}

// The kinds of torch's promotion lattice, lowest first.
enum class Kind { kBool, kIntegral, kFloating, kComplex };

Kind kind_of(ScalarType dtype) noexcept {
  if (dtype == ScalarType::Bool) return Kind::kBool;
  if (is_complex(dtype)) return Kind::kComplex;
  return is_floating(dtype) ? Kind::kFloating : Kind::kIntegral;
}

}  // namespace

size_t element_size(ScalarType dtype) {
  const Entry* entry = find(dtype);
  require(entry != nullptr, "dtype number ", static_cast<int>(dtype), " is not known to this runtime");
  return entry->bytes;
}

const char* dtype_name(ScalarType dtype) noexcept {
  const Entry* entry = find(dtype);
  return entry ? entry->name : "unknown";
}

bool is_floating(ScalarType dtype) noexcept {
  switch (dtype) {
    case ScalarType::Half:
    case ScalarType::BFloat16:
    case ScalarType::Float:
    case ScalarType::Double:
    case ScalarType::Float8_e5m2:
    case ScalarType::Float8_e4m3fn:
    case ScalarType::Float8_e5m2fnuz:
    case ScalarType::Float8_e4m3fnuz:
    case ScalarType::Float8_e8m0fnu:
      return true;
    default:
      return false;
  }
}

bool is_complex(ScalarType dtype) noexcept {
  return dtype == ScalarType::ComplexHalf || dtype == ScalarType::ComplexFloat || dtype == ScalarType::ComplexDouble;
}

bool is_integral(ScalarType dtype) noexcept {
  switch (dtype) {
    case ScalarType::Byte:
    case ScalarType::Char:
    case ScalarType::Short:
    case ScalarType::Int:
    case ScalarType::Long:
    case ScalarType::UInt16:
    case ScalarType::UInt32:
    case ScalarType::UInt64:
      return true;
    default:
      return false;
  }
}

ScalarType promote(ScalarType a, ScalarType b) {
  if (a == b) return a;
  if (kind_of(a) > kind_of(b)) std::swap(a, b);
  const size_t size_a = element_size(a);
  const size_t size_b = element_size(b);
  if (kind_of(a) != kind_of(b)) {
    // A wider kind wins as it is, except that a wide float widens a narrow complex.
    if (kind_of(b) != Kind::kComplex || kind_of(a) != Kind::kFloating || 2 * size_a <= size_b) return b;
    return size_a == 8 ? ScalarType::ComplexDouble : ScalarType::ComplexFloat;
  }
  if (kind_of(a) == Kind::kIntegral && size_a + size_b == 2) return ScalarType::Short;  // uint8 with int8
  if (kind_of(a) == Kind::kFloating && size_a + size_b == 4) return ScalarType::Float;  // float16 with bfloat16
  require(size_a != size_b, "no dtype holds both ", dtype_name(a), " and ", dtype_name(b));
  return size_a > size_b ? a : b;
}

void unsupported(ScalarType dtype, const char* accepted) {
  fail("dtype ", dtype_name(dtype), " is not supported here, only ", accepted);
}

}  // namespace slim
