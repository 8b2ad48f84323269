#include "table.h"

#include <cstdlib>
#include <cstring>

namespace slim::matrix {
namespace {

bool has(Isa isa) {
#ifdef __x86_64__
  __builtin_cpu_init();
  if (isa == Isa::kAvx512) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
  }
  if (isa == Isa::kAvx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return isa == Isa::kBaseline;
}

Isa found() {
  Isa best = Isa::kBaseline;
  const char* most = std::getenv("AOT_SLIM_ISA");
  for (const Isa isa : kSets) {
    if (!has(isa)) break;
    best = isa;
    if (most != nullptr && std::strcmp(most, name_of(isa)) == 0) break;
  }
  return best;
}

}  // namespace

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kBaseline:
      break;
  }
  return "baseline";
}

Isa best_isa() {
  static const Isa best = found();
  return best;
}

bool has_bfloat16([[maybe_unused]] Isa isa) {
#ifdef __x86_64__
  return isa == Isa::kAvx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

#ifdef __x86_64__
namespace {

Kernels widest() {
  Kernels kernels = kAvx512;
  kernels.bfloat16 = __builtin_cpu_supports("avx512bf16") ? kAvx512Bfloat16 : kAvx2.bfloat16;
  kernels.bytes = __builtin_cpu_supports("avx512vnni") ? kAvx512Bytes : kAvx2.bytes;
  if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi")) kernels.by_digits = kAvx512Digits;
  return kernels;
}

}  // namespace
#endif

const Kernels& kernels_of([[maybe_unused]] Isa isa) {
#ifdef __x86_64__
  static const Kernels avx512 = widest();
  if (isa == Isa::kAvx512) return avx512;
  if (isa == Isa::kAvx2) return kAvx2;
#endif
  return kBaseline;
}

}  // namespace slim::matrix
