// OpenMP as GCC's code calls it: what generated code and oneDNN ask of libgomp. Every name here is libgomp's with
// another beginning (AOMP_ for GOMP_, aop_ for omp_), and aotpack gives what it puts into a bundle the same ones. So
// neither finds the other's, whatever else the process has loaded. exports.map has the versions.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <string_view>

#include "threads/callers.h"
#include "threads/pool.h"
#include "threads/team.h"

namespace slim {
namespace {

using Body = void (*)(void*);

constexpr unsigned kMostNumbers = 1U << 20;

bool is_parallel() noexcept {
  for (const Member* member = current_member(); member != nullptr; member = member->outer) {
    if (member->team.size() > 1) return true;
  }
  return false;
}

// What has failed in this thread's regions, which have nobody to tell; kept until somebody asks.
thread_local char failure[400];

void fail_later(std::string_view why) noexcept {
  if (why.empty()) why = "out of memory";  // for the reason itself
  failure[why.copy(failure, sizeof failure - 1)] = '\0';
}

// Reports that a region failed: to the region that it is in, or to whoever asks.
void report(const Team& team) noexcept {
  if (__builtin_expect(!team.failed(), 1)) return;
  if (current_member() != nullptr) aot_slim_leave_region(team.reason());
  fail_later(team.reason());
}

// `threads`: as many as asked for, whoever runs them; 0: as many as this caller may have.
void run_region(Body body, void* data, unsigned threads) noexcept {
  if (threads == 1 || is_parallel()) {
    Team team(body, data, 1);
    team.run();
    return report(team);
  }
  const int most = threads == 0 ? region_threads() : max_threads();
  Team team(body, data, threads != 0 ? static_cast<int>(std::min(threads, kMostNumbers)) : 1);
  if (most > 1 && threads == 0) team.call_as_many_as_come(most - 1);
  if (most > 1 && threads != 0) team.call(std::min(team.size(), most) - 1, Want::kIdle);
  team.run();
  report(team);
}

// Outside of regions a thread is a team of its own.
Member& here() noexcept {
  if (Member* const member = current_member()) return *member;
  static thread_local Team alone(nullptr, nullptr, 1);
  static thread_local Member member(alone, 0);
  return member;
}

// ---- regions whose starting thread runs the body itself -----------------------------------------------------

struct Started {
  Started(Body body, void* data, int size) : team(body, data, size), first(team, 0) {}
  Team team;
  Member first;
  Started* outer = nullptr;
};

thread_local Started* started = nullptr;
thread_local int unstarted = 0;  // regions that there was no memory for

// oneDNN divides its work in advance, and its threads wait for one another in ways of their own: all must be there.
void start_region(Body body, void* data, unsigned threads) noexcept {
  int size = 1;
  if (threads != 1 && !is_parallel())
    size = threads == 0 ? region_threads() : static_cast<int>(std::min(threads, Team::kMostCalled + 1U));
  auto* const region = new (std::nothrow) Started(body, data, size);
  if (region == nullptr) {
    ++unstarted;
    return fail_later("out of memory");
  }
  if (size > 1 && region->team.call(size - 1, Want::kAll) == 0) {
    region->team.stay_alone();
    fail_later("the threads that an operation was planned for cannot be made");
  }
  region->outer = started;
  started = region;
  region->team.begin(region->first);
}

void end_region() noexcept {
  if (unstarted > 0) {
    --unstarted;
    return;
  }
  Started* const region = started;
  started = region->outer;
  region->team.end(region->first);
  report(region->team);
  delete region;
}

// ---- shared work --------------------------------------------------------------------------------------------

struct Loop {
  int64_t begin;
  int64_t end;
  int64_t step;
  int64_t chunk;
};

void describe(Share& share, const Loop& loop) noexcept {
  share.begin = loop.begin;
  share.step = loop.step;
  const int64_t span = loop.step > 0 ? loop.end - loop.begin : loop.begin - loop.end;
  const int64_t size = loop.step > 0 ? loop.step : -loop.step;
  share.count = span > 0 ? (span + size - 1) / size : 0;
  share.chunk = loop.chunk;
}

// The next places of a loop for a member: false when there are none.
using Deal = bool (*)(Member& member, int64_t* first, int64_t* count);

bool deal_static(Member& member, int64_t* first, int64_t* count) noexcept {
  const Share& share = *member.share;
  const int64_t members = member.team.size();
  if (share.chunk <= 0) {  // one piece each
    if (member.trip++ > 0) return false;
    const int64_t size = share.count / members;
    const int64_t more = share.count % members;
    *first = member.number * size + std::min<int64_t>(member.number, more);
    *count = size + (member.number < more ? 1 : 0);
    return *count > 0;
  }
  *first = (member.trip++ * members + member.number) * share.chunk;
  *count = std::min(share.chunk, share.count - *first);
  return *count > 0;
}

bool deal_dynamic(Member& member, int64_t* first, int64_t* count) noexcept {
  Share& share = *member.share;
  const int64_t chunk = std::max<int64_t>(share.chunk, 1);
  if (share.taken.load(std::memory_order_relaxed) >= share.count) return false;
  *first = share.taken.fetch_add(chunk, std::memory_order_relaxed);
  *count = std::min(chunk, share.count - *first);
  return *count > 0;
}

bool deal_guided(Member& member, int64_t* first, int64_t* count) noexcept {
  Share& share = *member.share;
  *first = share.taken.load(std::memory_order_relaxed);
  do {
    const int64_t left = share.count - *first;
    if (left <= 0) return false;
    *count = std::min(std::max({left / member.team.size(), share.chunk, int64_t{1}}), left);
  } while (!share.taken.compare_exchange_weak(*first, *first + *count, std::memory_order_relaxed));
  return true;
}

template <Deal deal>
bool next(long* begin, long* end) noexcept {
  Member& member = here();
  int64_t first = 0;
  int64_t count = 0;
  if (!deal(member, &first, &count)) return false;
  member.place = first;
  member.places = count;
  *begin = member.share->begin + first * member.share->step;
  *end = *begin + count * member.share->step;
  return true;
}

template <Deal deal>
bool start(const Loop& loop, long* begin, long* end) noexcept {
  Member& member = here();
  member.team.next_share(member, [&](Share& share) { describe(share, loop); });
  return next<deal>(begin, end);
}

// ---- ordered loops: chunks have their turn one after the other ----------------------------------------------

void await_turn(Member& member) noexcept {
  Share& share = *member.share;
  const auto has_come = [&] { return share.turn.load() == member.place || member.team.failed(); };
  if (!has_come()) {
    member.team.start_all(member);
    Patience patience;
    while (!patience.wait(has_come)) {
      const uint32_t seen = share.turns.load();
      if (!has_come()) sleep_while(share.turns, seen);
    }
  }
  if (member.team.failed()) member.team.leave(member);
}

void pass_turn(Member& member) noexcept {
  if (member.places == 0) return;
  await_turn(member);
  Share& share = *member.share;
  share.turn.store(member.place + member.places);
  member.places = 0;
  share.turns.fetch_add(1);
  wake(share.turns);
}

template <Deal deal>
bool next_ordered(long* begin, long* end) noexcept {
  pass_turn(here());
  return next<deal>(begin, end);
}

template <Deal deal>
bool start_ordered(const Loop& loop, long* begin, long* end) noexcept {
  here().places = 0;
  return start<deal>(loop, begin, end);
}

void wait_for_all() noexcept {
  Member& member = here();
  member.team.barrier(member);
}

// ---- critical sections --------------------------------------------------------------------------------------

FutexLock unnamed;
FutexLock atomically;

void lock(FutexLock& wanted) noexcept {
  wanted.lock();
  Member* const member = current_member();
  if (member != nullptr && member->locks < Member::kMostLocks) member->held[member->locks++] = &wanted;
}

void unlock(FutexLock& held) noexcept {
  Member* const member = current_member();
  if (member != nullptr && member->locks > 0 && member->held[member->locks - 1] == &held) --member->locks;
  held.unlock();
}

// GCC keeps a pointer of zeros for each name.
FutexLock& named(void** name) noexcept {
  static_assert(sizeof(FutexLock) <= sizeof(void*));
  return *reinterpret_cast<FutexLock*>(name);
}

// ---- a region that is one loop or some sections -------------------------------------------------------------

struct Combined {
  Body body;
  void* data;
  Loop loop;
};

// The members' own first question takes what it asks for from the share that is described here.
void run_combined(void* argument) {
  const auto& combined = *static_cast<const Combined*>(argument);
  Member& member = here();
  member.team.next_share(member, [&](Share& share) { describe(share, combined.loop); });
  combined.body(combined.data);
}

void run_loop(Body body, void* data, unsigned threads, const Loop& loop) noexcept {
  Combined combined{body, data, loop};
  run_region(run_combined, &combined, threads);
}

struct Pieces {
  void (*piece)(void*, int);
  void* data;
};

void run_piece(void* argument) {
  const auto& pieces = *static_cast<const Pieces*>(argument);
  pieces.piece(pieces.data, current_member()->number);
}

}  // namespace

}  // namespace slim

using slim::Loop;

#define AOMP extern "C" __attribute__((visibility("default")))

AOMP void AOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned /*flags*/) {
  slim::run_region(body, data, threads);
}
AOMP void AOMP_parallel_start(void (*body)(void*), void* data, unsigned threads) {
  slim::start_region(body, data, threads);
}
AOMP void AOMP_parallel_end() { slim::end_region(); }
AOMP void AOMP_barrier() { slim::wait_for_all(); }

AOMP void AOMP_critical_start() { slim::lock(slim::unnamed); }
AOMP void AOMP_critical_end() { slim::unlock(slim::unnamed); }
AOMP void AOMP_critical_name_start(void** name) { slim::lock(slim::named(name)); }
AOMP void AOMP_critical_name_end(void** name) { slim::unlock(slim::named(name)); }
AOMP void AOMP_atomic_start() { slim::lock(slim::atomically); }
AOMP void AOMP_atomic_end() { slim::unlock(slim::atomically); }

AOMP bool AOMP_single_start() {
  slim::Member& member = slim::here();
  bool is_first = false;
  member.team.next_share(member, [&](slim::Share&) { is_first = true; });
  return is_first;
}
AOMP void* AOMP_single_copy_start() {
  if (AOMP_single_start()) return nullptr;
  slim::wait_for_all();
  return slim::here().share->value;
}
AOMP void AOMP_single_copy_end(void* value) {
  slim::here().share->value = value;
  slim::wait_for_all();
}

// Each way of dealing out, under the names that GCC knows it by.
#define AOMP_LOOP(name, deal)                                                                             \
  AOMP bool AOMP_loop_##name##_start(long begin, long end, long step, long chunk, long* from, long* to) { \
    return slim::start<slim::deal>({begin, end, step, chunk}, from, to);                                  \
  }                                                                                                       \
  AOMP bool AOMP_loop_##name##_next(long* from, long* to) { return slim::next<slim::deal>(from, to); }
AOMP_LOOP(static, deal_static)
AOMP_LOOP(dynamic, deal_dynamic)
AOMP_LOOP(guided, deal_guided)
AOMP_LOOP(nonmonotonic_dynamic, deal_dynamic)
AOMP_LOOP(nonmonotonic_guided, deal_guided)

#define AOMP_ORDERED_LOOP(name, deal)                                                                             \
  AOMP bool AOMP_loop_ordered_##name##_start(long begin, long end, long step, long chunk, long* from, long* to) { \
    return slim::start_ordered<slim::deal>({begin, end, step, chunk}, from, to);                                  \
  }                                                                                                               \
  AOMP bool AOMP_loop_ordered_##name##_next(long* from, long* to) { return slim::next_ordered<slim::deal>(from, to); }
AOMP_ORDERED_LOOP(static, deal_static)
AOMP_ORDERED_LOOP(dynamic, deal_dynamic)
AOMP_ORDERED_LOOP(guided, deal_guided)

AOMP void AOMP_loop_end() { slim::wait_for_all(); }
AOMP void AOMP_loop_end_nowait() {}
AOMP void AOMP_ordered_start() { slim::await_turn(slim::here()); }
AOMP void AOMP_ordered_end() {}

#define AOMP_PARALLEL_LOOP(name)                                                                               \
  AOMP void AOMP_parallel_loop_##name(void (*body)(void*), void* data, unsigned threads, long begin, long end, \
                                      long step, long chunk, unsigned /*flags*/) {                             \
    slim::run_loop(body, data, threads, {begin, end, step, chunk});                                            \
  }
AOMP_PARALLEL_LOOP(static)
AOMP_PARALLEL_LOOP(dynamic)
AOMP_PARALLEL_LOOP(guided)
AOMP_PARALLEL_LOOP(nonmonotonic_dynamic)
AOMP_PARALLEL_LOOP(nonmonotonic_guided)

// Sections are places from 1; 0 says that there are no more.
AOMP unsigned AOMP_sections_next() {
  long section = 0;
  long end = 0;
  return slim::next<slim::deal_dynamic>(&section, &end) ? static_cast<unsigned>(section) : 0;
}
AOMP unsigned AOMP_sections_start(unsigned count) {
  long section = 0;
  long end = 0;
  const Loop sections{1, static_cast<int64_t>(count) + 1, 1, 1};
  return slim::start<slim::deal_dynamic>(sections, &section, &end) ? static_cast<unsigned>(section) : 0;
}
AOMP void AOMP_sections_end() { slim::wait_for_all(); }
AOMP void AOMP_sections_end_nowait() {}
AOMP void AOMP_parallel_sections(void (*body)(void*), void* data, unsigned threads, unsigned count,
                                 unsigned /*flags*/) {
  slim::run_loop(body, data, threads, {1, static_cast<int64_t>(count) + 1, 1, 1});
}

AOMP int aop_get_thread_num() { return slim::here().number; }
AOMP int aop_get_num_threads() { return slim::here().team.size(); }
AOMP int aop_get_max_threads() { return slim::is_parallel() ? 1 : slim::told_threads(); }
AOMP void aop_set_num_threads(int count) { slim::set_threads(count); }
AOMP int aop_get_num_procs() { return slim::processors(); }
AOMP int aop_in_parallel() { return slim::is_parallel() ? 1 : 0; }
AOMP double aop_get_wtime() { return static_cast<double>(slim::nanoseconds()) * 1e-9; }
AOMP int aop_get_dynamic() { return 1; }
AOMP void aop_set_dynamic(int /*is_dynamic*/) {}

// What the rest of the runtime, its other libraries and the bridge ask.
extern "C" {

void aot_slim_parallel(void (*piece)(void*, int), void* data, int count) {
  if (count <= 1 || slim::is_parallel()) {
    for (int number = 0; number < count; ++number) piece(data, number);
    return;
  }
  slim::Pieces pieces{piece, data};
  slim::run_region(slim::run_piece, &pieces, static_cast<unsigned>(count));
}
int aot_slim_threads() { return slim::is_parallel() ? 1 : slim::max_threads(); }
void aot_slim_set_threads(int count) { slim::set_threads(count); }
int aot_slim_is_in_region() { return slim::current_member() != nullptr ? 1 : 0; }
void aot_slim_leave_region(const char* why) {
  slim::Member& member = *slim::current_member();
  member.team.fail(why);
  member.team.leave(member);
}
int aot_slim_take_failure(char* text, size_t size) {
  if (__builtin_expect(slim::failure[0] == '\0', 1)) return 0;
  const std::string_view why = slim::failure;
  text[why.copy(text, size - 1)] = '\0';
  slim::failure[0] = '\0';
  return 1;
}
void aot_slim_enter_call() { slim::enter_call(); }
void aot_slim_leave_call() { slim::leave_call(); }
}
