#include "threads/team.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include <algorithm>
#include <new>
#include <utility>

namespace slim {
namespace {

thread_local Member* current = nullptr;

constexpr const char* kNoThreads = "the threads that this model asks for cannot be made";
constexpr const char* kNoMemory = "out of memory";

// How this thread rounds, and whether it keeps denormals: what is computed does not depend on who computes it.
unsigned rounding() noexcept {
#if defined(__x86_64__)
  return _mm_getcsr() & ~0x3fU;  // without what has happened so far
#else
  return 0;
#endif
}

void set_rounding([[maybe_unused]] unsigned value) noexcept {
#if defined(__x86_64__)
  if (rounding() != value) _mm_setcsr(value);
#endif
}

}  // namespace

Member* current_member() noexcept { return current; }

Team::Team(Body body, void* data, int size) noexcept : body_(body), data_(data), size_(size), rounding_(rounding()) {
  reason_[0] = '\0';
}

Team::~Team() {
  Share* share = first_share_.following.load(std::memory_order_relaxed);
  while (share != nullptr) delete std::exchange(share, share->following.load(std::memory_order_relaxed));
}

int Team::call(int count, Want want) noexcept {
  const int number = take(count, want);
  assign_taken(number);
  return number;
}

void Team::call_as_many_as_come(int count) noexcept {
  const int number = take(count, Want::kIdle);
  size_ = number + 1;
  assign_taken(number);
}

int Team::take(int count, Want want) noexcept {
  const int before = called_.load(std::memory_order_relaxed);
  return take_workers(std::min(count, kMostCalled - before), workers_ + before, want);
}

// From here on they read what this team is.
void Team::assign_taken(int count) noexcept {
  if (count == 0) return;
  const int before = called_.load(std::memory_order_relaxed);
  called_.store(before + count);
  outstanding_.fetch_add(static_cast<uint32_t>(count));
  for (int i = before; i < before + count; ++i) assign(*workers_[i], *this);
}

// Apart from its caller, whose variables must outlive the jump: that out of an OpenMP region, which generated code
// knows nothing of.
void Team::run_number(int number) noexcept {
  Member member(*this, number);
  member.outer = std::exchange(current, &member);
  if (setjmp(member.end) == 0) body_(data_);  // NOLINT(cert-err52-cpp)
  current = member.outer;
}

void Team::run_numbers() noexcept {
  while (begun_.load(std::memory_order_relaxed) < size_ && !failed()) {
    const int number = begun_.fetch_add(1, std::memory_order_relaxed);
    if (number < size_) run_number(number);
  }
}

void Team::run() noexcept {
  run_number(0);
  run_numbers();
  call_off();
  wait_for_workers();
}

void Team::begin(Member& first) noexcept { first.outer = std::exchange(current, &first); }

void Team::end(Member& first) noexcept {
  current = first.outer;
  wait_for_workers();
}

void Team::help(Worker& self) noexcept {
  set_rounding(rounding_);
  run_numbers();
  give_back(self);
  // The team may be gone as soon as this is known.
  if (outstanding_.fetch_sub(1) == (kAsleep | 1)) wake(outstanding_, 1);
}

void Team::call_off() noexcept {
  for (int i = 0; i < called_.load(std::memory_order_relaxed); ++i) {
    Team* self = this;
    if (!workers_[i]->job.compare_exchange_strong(self, nullptr)) continue;  // it has begun, or has gone
    give_back(*workers_[i]);
    outstanding_.fetch_sub(1);
  }
}

void Team::wait_for_workers() noexcept {
  if (Patience().wait([&] { return outstanding_.load() == 0; })) return;
  outstanding_.fetch_or(kAsleep);
  for (uint32_t seen = outstanding_.load(); seen != kAsleep; seen = outstanding_.load())
    sleep_while(outstanding_, seen);
}

void Team::start_all(Member& member) noexcept {
  if (calling_.exchange(true)) return;  // another member sees to it
  const int missing = size_ - 1 - called_.load(std::memory_order_relaxed);
  if (missing > 0 && call(missing, Want::kMore) < missing) {
    fail(kNoThreads);
    leave(member);
  }
}

void Team::barrier(Member& member) noexcept {
  if (size_ == 1) return;
  if (failed()) leave(member);
  start_all(member);
  const uint32_t passed = barriers_.load();
  if (arrived_.fetch_add(1) + 1 == static_cast<uint32_t>(size_)) {
    arrived_.store(0);
    barriers_.fetch_add(1);
    if (sleepers_.load() > 0) wake(barriers_);
  } else {
    const auto is_passed = [&] { return barriers_.load() != passed || failed(); };
    if (!Patience().wait(is_passed)) {
      sleepers_.fetch_add(1);
      while (!is_passed()) sleep_while(barriers_, passed);
      sleepers_.fetch_sub(1);
    }
  }
  if (failed()) leave(member);
}

void Team::fail(std::string_view why) noexcept {
  if (!has_reason_.exchange(true)) reason_[why.copy(reason_, sizeof reason_ - 1)] = '\0';
  failed_.store(true);
  // Those that wait, at a barrier or for their turn, look whether it has failed.
  barriers_.fetch_add(1);
  wake(barriers_);
  for (Share* share = &first_share_; share != nullptr; share = share->following.load()) {
    share->turns.fetch_add(1);
    wake(share->turns);
  }
}

void Team::leave(Member& member) noexcept {
  while (member.locks > 0) member.held[--member.locks]->unlock();
  std::longjmp(member.end, 1);  // NOLINT(cert-err52-cpp)
}

Share* Team::enter_share(Member& member, bool* is_first) noexcept {
  Share* share = &first_share_;
  if (size_ == 1) {
    // Nobody else comes to it: one serves them all.
    share->state.store(1, std::memory_order_relaxed);
    share->taken.store(0, std::memory_order_relaxed);
    share->turn.store(0, std::memory_order_relaxed);
    *is_first = true;
  } else {
    if (member.share != nullptr) {
      share = member.share->following.load(std::memory_order_acquire);
      if (share == nullptr) {
        auto* const made = new (std::nothrow) Share;
        if (made == nullptr) {
          fail(kNoMemory);
          leave(member);
        }
        if (member.share->following.compare_exchange_strong(share, made)) {
          share = made;
        } else {
          delete made;
        }
      }
    }
    int nobody = 0;
    *is_first = share->state.compare_exchange_strong(nobody, 1, std::memory_order_acquire);
    while (!*is_first && share->state.load(std::memory_order_acquire) != 2) relax();
  }
  member.share = share;
  member.trip = 0;
  return share;
}

}  // namespace slim
