// SPDX-License-Identifier: Apache-2.0
#include "base/cpu_features.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace aot {
namespace {

/// Spelling differs between the kernel, compilers and torch: avx512_vnni, avx512vnni; sse4.1, sse4_1; amx-tile,
/// amx_tile.
std::string plain(const std::string& name) {
  std::string result;
  for (char c : name) {
    if (c == '_' || c == '.' || c == '-') continue;
    result += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return result;
}

bool is_among(const std::vector<std::string>& features, const std::string& wanted) {
  for (const std::string& feature : features) {
    if (plain(feature) == plain(wanted)) return true;
  }
  return false;
}

#if defined(__x86_64__)

enum Register { Eax, Ebx, Ecx, Edx };

// Bits of XCR0: the register states that the kernel saves. Without them an instruction faults although CPUID has it.
constexpr uint64_t kNone = 0;
constexpr uint64_t kAvx = 0x6;
constexpr uint64_t kAvx512 = 0xe6;
constexpr uint64_t kAmx = 0x60000;

struct Feature {
  const char* name;
  uint32_t leaf;
  uint32_t subleaf;
  Register reg;
  int bit;
  uint64_t xcr0;
};

// Intel SDM volume 2, CPUID. Names are the kernel's (arch/x86/include/asm/cpufeatures.h).
constexpr Feature kFeatures[] = {
    {"avx2", 7, 0, Ebx, 5, kAvx},
    {"fma", 1, 0, Ecx, 12, kAvx},
    {"avx512f", 7, 0, Ebx, 16, kAvx512},
    {"avx512dq", 7, 0, Ebx, 17, kAvx512},
    {"avx512bw", 7, 0, Ebx, 30, kAvx512},
    {"avx512vl", 7, 0, Ebx, 31, kAvx512},
    {"avx512_vnni", 7, 0, Ecx, 11, kAvx512},
    {"avx512_bf16", 7, 1, Eax, 5, kAvx512},
    {"avx512_fp16", 7, 0, Edx, 23, kAvx512},
    {"amx_tile", 7, 0, Edx, 24, kAmx},
    {"amx_int8", 7, 0, Edx, 25, kAmx},
    {"amx_bf16", 7, 0, Edx, 22, kAmx},
    {"amx_fp16", 7, 1, Eax, 21, kAmx},
    {"avx_vnni", 7, 1, Eax, 4, kAvx},
    {"avx_vnni_int8", 7, 1, Edx, 4, kAvx},
    {"avx_ne_convert", 7, 1, Edx, 5, kAvx},
    {"avx", 1, 0, Ecx, 28, kAvx},
    {"f16c", 1, 0, Ecx, 29, kAvx},
    {"avx512cd", 7, 0, Ebx, 28, kAvx512},
    {"avx512ifma", 7, 0, Ebx, 21, kAvx512},
    {"avx512vbmi", 7, 0, Ecx, 1, kAvx512},
    {"avx512_vbmi2", 7, 0, Ecx, 6, kAvx512},
    {"avx512_bitalg", 7, 0, Ecx, 12, kAvx512},
    {"avx512_vpopcntdq", 7, 0, Ecx, 14, kAvx512},
    {"vaes", 7, 0, Ecx, 9, kAvx},
    {"vpclmulqdq", 7, 0, Ecx, 10, kAvx},
    {"gfni", 7, 0, Ecx, 8, kNone},
    {"bmi1", 7, 0, Ebx, 3, kNone},
    {"bmi2", 7, 0, Ebx, 8, kNone},
    {"lzcnt", 0x80000001, 0, Ecx, 5, kNone},
    {"movbe", 1, 0, Ecx, 22, kNone},
    {"popcnt", 1, 0, Ecx, 23, kNone},
    {"aes", 1, 0, Ecx, 25, kNone},
    {"pclmulqdq", 1, 0, Ecx, 1, kNone},
    {"sha_ni", 7, 0, Ebx, 29, kNone},
    {"adx", 7, 0, Ebx, 19, kNone},
    {"sse4_2", 1, 0, Ecx, 20, kNone},
    {"sse4_1", 1, 0, Ecx, 19, kNone},
    {"ssse3", 1, 0, Ecx, 9, kNone},
    {"sse3", 1, 0, Ecx, 0, kNone},
    {"sse2", 1, 0, Edx, 26, kNone},
    {"sse", 1, 0, Edx, 25, kNone},
    {"cx16", 1, 0, Ecx, 13, kNone},
};

/// What CPUID answers, each leaf asked for once: in a virtual machine every question is the hypervisor's to answer,
/// which takes microseconds.
class Answers {
 public:
  /// A register's word of a leaf; 0 where the CPU does not have that leaf.
  uint32_t word(uint32_t leaf, uint32_t subleaf, Register reg) {
    for (const Answer& answer : known_) {
      if (answer.leaf == leaf && answer.subleaf == subleaf) return answer.words[reg];
    }
    // The first leaf of a range says which one is its last.
    const uint32_t first = leaf & 0x80000000;
    Answer answer{leaf, subleaf, {}};
    uint32_t* words = answer.words;
    if (leaf == first || word(first, 0, Eax) >= leaf) {
      __cpuid_count(leaf, subleaf, words[Eax], words[Ebx], words[Ecx], words[Edx]);
    }
    known_.push_back(answer);
    return answer.words[reg];
  }

 private:
  struct Answer {
    uint32_t leaf;
    uint32_t subleaf;
    uint32_t words[4];
  };
  std::vector<Answer> known_;
};

uint64_t enabled_states(Answers* answers) {
  constexpr uint32_t kOsxsave = 1U << 27;
  if ((answers->word(1, 0, Ecx) & kOsxsave) == 0) return 0;
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

std::vector<std::string> detect() {
  Answers answers;
  const uint64_t states = enabled_states(&answers);
  std::vector<std::string> found;
  for (const Feature& feature : kFeatures) {
    const uint32_t word = answers.word(feature.leaf, feature.subleaf, feature.reg);
    if (((word >> feature.bit) & 1U) == 0 || (states & feature.xcr0) != feature.xcr0) continue;
    found.push_back(feature.name);
  }
  return found;
}

#else

std::vector<std::string> detect() { return {}; }

#endif

}  // namespace

const std::vector<std::string>& cpu_features() {
  static const std::vector<std::string> features = detect();
  return features;
}

std::vector<std::string> missing_cpu_features(const std::vector<std::string>& wanted) {
  std::vector<std::string> missing;
  for (const std::string& want : wanted) {
    if (!is_among(cpu_features(), want)) missing.push_back(want);
  }
  return missing;
}

std::string cpu_brand() {
#if defined(__x86_64__)
  constexpr uint32_t kFirst = 0x80000002;
  constexpr uint32_t kLast = 0x80000004;
  if (__get_cpuid_max(0x80000000, nullptr) >= kLast) {
    char text[49] = {};
    for (uint32_t leaf = kFirst; leaf <= kLast; ++leaf) {
      uint32_t reg[4];
      __get_cpuid(leaf, &reg[Eax], &reg[Ebx], &reg[Ecx], &reg[Edx]);
      std::memcpy(text + sizeof reg * (leaf - kFirst), reg, sizeof reg);
    }
    std::string brand(text);
    brand.erase(0, std::min(brand.find_first_not_of(' '), brand.size()));
    if (!brand.empty()) return brand;
  }
#endif
  return machine();
}

const char* machine() {
#if defined(__x86_64__)
  return "x86_64";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "unknown";
#endif
}

}  // namespace aot
