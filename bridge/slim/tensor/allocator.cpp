#include "tensor/allocator.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <new>

namespace slim {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kReuse = false;  // a reused block would hide use after free
#else
constexpr bool kReuse = true;
#endif

constexpr size_t kSlack = size_t{4} << 20;
constexpr size_t kClasses = size_t{4} * 48;

// Sizes grow in four steps a doubling, so a block is at most a quarter larger than asked for.
struct SizeClass {
  size_t index;
  size_t bytes;
};

SizeClass size_class(size_t bytes) {
  const size_t lines = (bytes + kAlignment - 1) / kAlignment;
  if (lines <= 4) return {lines - 1, lines * kAlignment};
  const unsigned log = 63U - static_cast<unsigned>(__builtin_clzll(lines - 1));  // 2^log < lines <= 2^(log+1)
  const size_t step = size_t{1} << (log - 2);
  const size_t quarter = (lines - 1 - (size_t{1} << log)) / step;  // 0..3
  return {size_t{4} * (log - 1) + quarter, ((size_t{1} << log) + (quarter + 1) * step) * kAlignment};
}

class Cache {
 public:
  Block allocate(size_t bytes) {
    if (bytes > (size_t{1} << 46)) throw std::bad_alloc();
    const SizeClass wanted = size_class(bytes);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (size_t i = wanted.index; i < std::min(wanted.index + 3, kClasses); ++i) {
        if (void* data = pop(i)) {
          account(capacity_[i]);
          return {data, capacity_[i]};
        }
      }
    }
    void* data = std::aligned_alloc(kAlignment, wanted.bytes);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (data == nullptr) {
      trim(in_use_);
      data = std::aligned_alloc(kAlignment, wanted.bytes);
      if (data == nullptr) throw std::bad_alloc();
    }
    account(wanted.bytes);  // only now: what could not be had is no measure of what may be kept
    if (in_use_ + cached_ > limit()) trim(limit());
    return {data, wanted.bytes};
  }

  void release(Block block) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    in_use_ -= block.capacity;
    if (!kReuse || in_use_ + cached_ + block.capacity > limit()) {
      std::free(block.data);
      return;
    }
    push(size_class(block.capacity).index, block);
  }

  void release_all() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    trim(in_use_);
    peak_ = in_use_;
  }

  // Around a fork: a thread that is in here would have no end in the child, nor let anybody else in.
  void hold() noexcept { mutex_.lock(); }
  void let_go() noexcept { mutex_.unlock(); }

  void report(uint64_t* in_use, uint64_t* cached, uint64_t* peak) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (in_use) *in_use = in_use_;
    if (cached) *cached = cached_;
    if (peak) *peak = peak_;
  }

 private:
  // A free block holds the pointer to the next one of its class.
  struct Free {
    Free* next;
  };

  size_t limit() const { return 2 * peak_ + kSlack; }

  void account(size_t bytes) {
    in_use_ += bytes;
    peak_ = std::max(peak_, in_use_);
  }

  void push(size_t index, Block block) noexcept {
    heads_[index] = new (block.data) Free{heads_[index]};
    capacity_[index] = block.capacity;
    cached_ += block.capacity;
  }

  void* pop(size_t index) noexcept {
    Free* block = heads_[index];
    if (block == nullptr) return nullptr;
    heads_[index] = block->next;
    cached_ -= capacity_[index];
    return block;
  }

  // Frees cached blocks, the largest first, until all that is held fits in `bytes` or nothing is cached.
  void trim(size_t bytes) noexcept {
    for (size_t i = kClasses; i-- > 0 && in_use_ + cached_ > bytes;) {
      while (in_use_ + cached_ > bytes && heads_[i] != nullptr) std::free(pop(i));
    }
  }

  std::mutex mutex_;
  std::array<Free*, kClasses> heads_{};
  std::array<size_t, kClasses> capacity_{};
  size_t in_use_ = 0;
  size_t cached_ = 0;
  size_t peak_ = 0;
};

// Never destroyed: tensors of static lifetime may be released after it would have been.
Cache& cache() {
  static Cache* const instance = [] {
    const auto let_go = [] { cache().let_go(); };
    pthread_atfork([] { cache().hold(); }, let_go, let_go);
    return new Cache;
  }();
  return *instance;
}

}  // namespace

Block allocate(size_t bytes) { return cache().allocate(bytes); }
void release(Block block) noexcept { cache().release(block); }

}  // namespace slim

extern "C" {

void aot_slim_memory(uint64_t* in_use, uint64_t* cached, uint64_t* peak) { slim::cache().report(in_use, cached, peak); }
void aot_slim_release_cache() { slim::cache().release_all(); }
}
