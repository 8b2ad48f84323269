#include "table.h"

#include <cstdlib>
#include <cstring>

#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace slim::matrix {
namespace {

#ifdef AOT_SLIM_HAS_AMX  // the compiler has
// Fewer are multiplied as fast with other registers, which need no permission.
constexpr int64_t kRowsWorthTiles = 4;

// Of Documentation/arch/x86/xstate.rst; older headers of the kernel do not have the names.
constexpr int kAskWhatThereIs = 0x1021;       // ARCH_GET_XCOMP_SUPP
constexpr int kAskForPermission = 0x1023;     // ARCH_REQ_XCOMP_PERM
constexpr unsigned long kTileRegisters = 18;  // XFEATURE_XTILEDATA

// Whether processor and kernel have AMX with bfloat16 and bytes.
bool has_tiles() {
  constexpr unsigned kBits = 1U << 22 | 1U << 24 | 1U << 25;  // bfloat16, the tiles themselves, bytes
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kBits) != kBits) return false;
  uint64_t there = 0;
  return syscall(SYS_arch_prctl, kAskWhatThereIs, &there) == 0 && (there >> kTileRegisters & 1) != 0;
}

// Whether this process may use the registers. Asked for only when there is something to multiply with them: from then
// on a thread's stack for signals must have room for them.
bool may_use_tiles() {
  static const bool may = syscall(SYS_arch_prctl, kAskForPermission, kTileRegisters) == 0;
  return may;
}
#endif

bool has(Isa isa) {
#ifdef __x86_64__
  __builtin_cpu_init();
#ifdef AOT_SLIM_HAS_AMX
  if (isa == Isa::kAmx) return has_bfloat16(Isa::kAvx512) && __builtin_cpu_supports("avx512vnni") && has_tiles();
#endif
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
    case Isa::kAmx:
      return "amx";
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
  return isa >= Isa::kAvx512 && __builtin_cpu_supports("avx512bf16");
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

#ifdef AOT_SLIM_HAS_AMX
Kernels with_tiles() {
  Kernels kernels = widest();
  kernels.bfloat16_by_tiles = &kAmxBfloat16;
  kernels.bytes_by_tiles = &kAmxBytes;
  return kernels;
}
#endif

}  // namespace
#endif

const Kernels& kernels_of([[maybe_unused]] Isa isa) {
#ifdef __x86_64__
#ifdef AOT_SLIM_HAS_AMX
  static const Kernels amx = with_tiles();
  if (isa == Isa::kAmx) return amx;
#endif
  static const Kernels avx512 = widest();
  if (isa == Isa::kAvx512) return avx512;
  if (isa == Isa::kAvx2) return kAvx2;
#endif
  return kBaseline;
}

const TileTable& Kernels::table(Numbers numbers, [[maybe_unused]] int64_t rows) const {
  if (numbers == Numbers::kFloat32) return float32;
  const bool halves = numbers == Numbers::kBfloat16;
#ifdef AOT_SLIM_HAS_AMX
  const TileTable* const by_tiles = halves ? bfloat16_by_tiles : bytes_by_tiles;
  if (by_tiles != nullptr && rows >= kRowsWorthTiles && may_use_tiles()) return *by_tiles;
#endif
  return halves ? bfloat16 : bytes;
}

}  // namespace slim::matrix
