// A team: the threads of one parallel region. What OpenMP calls a thread is a number here, from 0 to the team's size;
// whoever has time runs the body for the next one. So nobody waits for a worker that has not begun, which is what takes
// milliseconds on a busy machine, and a body without barriers needs no second thread at all.
#pragma once

#include <atomic>
#include <csetjmp>
#include <cstdint>
#include <string_view>

#include "threads/futex.h"
#include "threads/workers.h"

namespace slim {

// Work that the members of a team share: a loop, sections, or what one of them does. Members meet them in the same
// order.
struct Share {
  std::atomic<Share*> following{nullptr};
  std::atomic<int> state{0};  // 0: nobody was here, 1: being described, 2: described
  // A loop: places from begin to end by step, dealt out in chunks.
  int64_t begin = 0;
  int64_t count = 0;  // of places
  int64_t step = 1;
  int64_t chunk = 1;
  std::atomic<int64_t> taken{0};  // places dealt out
  std::atomic<int64_t> turn{0};   // of an ordered loop: the place whose turn it is
  Word turns{0};                  // counts them
  void* value = nullptr;          // that one member gives to all
};

class Team;

// One number of a team, while the body runs for it.
struct Member {
  Member(Team& its_team, int its_number) : team(its_team), number(its_number) {}

  Team& team;
  const int number;
  Member* outer = nullptr;
  Share* share = nullptr;  // the one it is at
  int64_t trip = 0;        // chunks of a static loop that it has had
  int64_t place = 0;       // of an ordered loop: the first one of its chunk
  int64_t places = 0;      // and how many
  static constexpr int kMostLocks = 4;
  FutexLock* held[kMostLocks];  // to be let go where it leaves early
  int locks = 0;
  std::jmp_buf end{};
};

// This thread's, or nullptr outside of regions.
Member* current_member() noexcept;

class Team {
 public:
  using Body = void (*)(void*);
  static constexpr int kMostCalled = 256;

  Team(Body body, void* data, int size) noexcept;
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  ~Team();

  int size() const noexcept { return size_; }
  bool failed() const noexcept { return failed_.load(); }
  const char* reason() const noexcept { return reason_; }

  // Takes up to `count` workers and calls them; returns how many came.
  int call(int count, Want want) noexcept;

  // The same for a team that is to be as large as what comes, and whoever starts it: its size, known before anyone
  // begins. Nothing may have been called before.
  void call_as_many_as_come(int count) noexcept;

  // Nobody was called, nor will be.
  void stay_alone() noexcept { size_ = 1; }

  // Runs the body for all numbers, with those that were called.
  void run() noexcept;

  // For a team whose starting thread runs the body itself, as number 0: before, and after.
  void begin(Member& first) noexcept;
  void end(Member& first) noexcept;

  // What a worker does that was called.
  void help(Worker& self) noexcept;

  // Waits for all members.
  void barrier(Member& member) noexcept;

  // Makes sure that there is a thread for each number: this one is about to wait for others.
  void start_all(Member& member) noexcept;

  // Ends the region for all members, each as soon as it comes to a barrier or to its end. The first reason counts.
  void fail(std::string_view why) noexcept;

  // Ends it for this one, at once.
  [[noreturn]] void leave(Member& member) noexcept;

  // The next piece of shared work, described by the first member that comes.
  template <class Describe>
  Share* next_share(Member& member, const Describe& describe) noexcept;

 private:
  static constexpr uint32_t kAsleep = 1U << 31;

  int take(int count, Want want) noexcept;
  void assign_taken(int count) noexcept;
  void run_numbers() noexcept;
  void run_number(int number) noexcept;
  void call_off() noexcept;
  void wait_for_workers() noexcept;
  Share* enter_share(Member& member, bool* is_first) noexcept;

  const Body body_;
  void* const data_;
  int size_;
  const unsigned rounding_;
  std::atomic<int> begun_{1};  // numbers that somebody runs or has run; 0 is the starting thread's
  Word outstanding_{0};        // workers that were called and have not gone; and whether the caller sleeps
  std::atomic<int> called_{0};
  Word arrived_{0};   // members at the barrier
  Word barriers_{0};  // that all have passed
  std::atomic<int> sleepers_{0};
  std::atomic<bool> calling_{false};
  std::atomic<bool> failed_{false};
  std::atomic<bool> has_reason_{false};
  Share first_share_;
  Worker* workers_[kMostCalled];
  char reason_[400];
};

template <class Describe>
Share* Team::next_share(Member& member, const Describe& describe) noexcept {
  bool is_first = false;
  Share* const share = enter_share(member, &is_first);
  if (is_first) {
    describe(*share);
    share->state.store(2, std::memory_order_release);
  }
  return share;
}

}  // namespace slim
