#include "halves.h"

#include "table.h"

namespace slim::matrix {
namespace {

const HalfFunctions& functions(Half type, Isa isa) {
  const Kernels& kernels = kernels_of(isa);
  return type == Half::kBfloat16 ? kernels.brain_floats : kernels.half_floats;
}

}  // namespace

void widen(Half type, const void* from, int64_t count, float* to, Isa isa) {
  functions(type, isa).widen(static_cast<const uint16_t*>(from), count, to);
}

void narrow(Half type, const float* from, int64_t count, void* to, Isa isa) {
  functions(type, isa).narrow(from, count, static_cast<uint16_t*>(to));
}

}  // namespace slim::matrix
