// Products in a thread without memory: each allocation fails once, then somebody else in the thread gives the tile
// registers back, where there are some. The next product is right all the same.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#include "kernel_checks.h"

using namespace slim::matrix;
using namespace checks;

namespace {

std::atomic<int> until_failure{-1};  // allocations; below 0: none fails

// As another library's code does at its end.
void give_tiles_back([[maybe_unused]] Isa isa) {
#ifdef __x86_64__
  if (isa == Isa::kAmx) asm volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0");  // tilerelease
#endif
}

}  // namespace

void* operator new(size_t bytes, std::align_val_t alignment) {
  if (until_failure >= 0 && until_failure-- == 0) throw std::bad_alloc();
  const auto unit = static_cast<size_t>(alignment);
  void* made = std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
  if (made == nullptr) throw std::bad_alloc();
  return made;
}

void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }

int main() {
  const Sizes sizes{8, 80, 17000};  // more than one group of panels; a row too long for the stack
  const std::vector<int8_t> left(static_cast<size_t>(sizes.rows * sizes.depth), 1);
  const std::vector<int8_t> right(static_cast<size_t>(sizes.columns * sizes.depth), 1);
  std::vector<int32_t> out(static_cast<size_t>(sizes.rows * sizes.columns));
  for (const Isa isa : kSets) {
    if (isa > best_isa()) break;
    const auto multiplied = [&](Numbers numbers, int failing) {
      until_failure = failing;
      try {
        multiply(numbers, {left.data(), sizes.depth, 1}, Right{right.data(), 1, sizes.depth}, sizes, out.data(),
                 sizes.columns, isa);
      } catch (const std::bad_alloc&) {
        return false;
      }
      until_failure = -1;
      return true;
    };
    int failed = 0;
    while (!multiplied(Numbers::kInt8, failed)) {
      ++failed;
      give_tiles_back(isa);
      out.assign(out.size(), 0);
      multiplied(Numbers::kUint8, -1);
      for (const int32_t sum : out) {
        if (sum != sizes.depth) return std::printf("%s: %d\n", name_of(isa), sum), 1;
      }
    }
    std::printf("%s %d\n", name_of(isa), failed);
  }
}
