// Regions come here: a model's calls of libgomp's GOMP_parallel and GOMP_barrier find this library's before libgomp's.
// Where another library of the process has put libgomp's in front, everything works as without this file, but for
// checks of generated code that fail within a region: they end the process.
#include "shim/region.h"

#include <dlfcn.h>
#include <omp.h>

#include <atomic>
#include <climits>
#include <csetjmp>
#include <functional>
#include <thread>
#include <utility>

#include "shim/pending.h"

namespace slim {
namespace {

using Body = void (*)(void*);

// libgomp's own functions.
template <class F>
F find(const char* name) {
  static void* const library = dlopen("libgomp.so.1", RTLD_LAZY | RTLD_NOLOAD);
  return reinterpret_cast<F>(dlsym(library, name));
}

void start(Body body, void* data, unsigned threads, unsigned flags) {
  static const auto function = find<void (*)(Body, void*, unsigned, unsigned)>("GOMP_parallel");
  function(body, data, threads, flags);
}

void wait_at_barrier() {
  static const auto function = find<void (*)()>("GOMP_barrier");
  function();
}

constexpr long kNever = LONG_MAX;

// The threads of one region. All of them pass the same barriers, so that where each is can be told by a number.
struct Team {
  Team(Body run, void* argument) : body(run), data(argument) { reason[0] = '\0'; }

  const Body body;
  void* const data;
  std::atomic<int> gone{0};                // threads that have come to the end or failed
  std::atomic<long> reached{0};            // the last barrier that one of them has come to, from 1
  std::atomic<long> failed_after{kNever};  // the first barrier after which one of them failed; 0: before any
  std::atomic<bool> has_reason{false};
  char reason[400];
};

struct Member {
  Team& team;
  long passed = 0;  // barriers
  std::jmp_buf end{};
};

thread_local Member* current = nullptr;

// Apart from its caller, whose variables must outlive the jump.
void run_body(Member& member) {
  if (setjmp(member.end) != 0) return;
  member.team.body(member.team.data);
  ++member.team.gone;
}

void run_member(void* team) {
  Member member{*static_cast<Team*>(team)};
  Member* const outer = std::exchange(current, &member);
  run_body(member);
  current = outer;
}

template <class Better>
void update(std::atomic<long>& value, long candidate, Better better) {
  long seen = value.load();
  while (better(candidate, seen) && !value.compare_exchange_weak(seen, candidate)) {
  }
}

}  // namespace

bool is_in_region() noexcept { return current != nullptr; }

void leave_region(std::string_view why) noexcept {
  Member& member = *current;
  Team& team = member.team;
  if (!team.has_reason.exchange(true)) team.reason[why.copy(team.reason, sizeof team.reason - 1)] = 0;
  update(team.failed_after, member.passed, std::less<>());
  ++team.gone;
  // The others come to the next barrier, where they wait for this thread too, or all to the end.
  while (team.reached <= member.passed && team.gone < omp_get_num_threads()) std::this_thread::yield();
  if (team.reached > member.passed) wait_at_barrier();
  std::longjmp(member.end, 1);
}

}  // namespace slim

extern "C" {

AOTI_TORCH_EXPORT void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags) {
  slim::Team team(body, data);
  slim::start(slim::run_member, &team, threads, flags);
  if (__builtin_expect(team.failed_after == slim::kNever, 1)) return;
  if (slim::current != nullptr) slim::leave_region(team.reason);
  slim::fail_later(team.reason);
}

AOTI_TORCH_EXPORT void GOMP_barrier() {
  slim::Member* const member = slim::current;
  if (member == nullptr) return slim::wait_at_barrier();
  slim::Team& team = member->team;
  ++member->passed;
  slim::update(team.reached, member->passed, std::greater<>());
  slim::wait_at_barrier();
  if (team.failed_after < member->passed) std::longjmp(member->end, 1);
}
}
