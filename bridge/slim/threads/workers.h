// The threads that help callers, one pool for the whole process: models, sessions and callers share it.
#pragma once

#include <atomic>
#include <cstdint>

#include "threads/futex.h"

namespace slim {

class Team;

// One thread of the pool. It is either idle, or a team has put itself into `job`, or it works for one.
struct Worker {
  std::atomic<Team*> job{nullptr};
  Word asleep{0};
  Worker* next_idle = nullptr;
  Worker* next = nullptr;  // of all
};

enum class Want {
  kIdle,  // who is idle; threads are made until there are as many as this caller may want
  kMore,  // threads are made as long as they can be
  kAll,   // as many as asked for: waits for those that work for others
};

// Takes up to `count` workers; returns how many. With kAll, either as many or, where they cannot be made, none.
int take_workers(int count, Worker** taken, Want want) noexcept;

// Gives a worker its next team.
void assign(Worker& worker, Team& team) noexcept;

// Makes a worker idle again.
void give_back(Worker& worker) noexcept;

// `count`, or fewer where as many threads cannot be made.
int possible_threads(int count) noexcept;

}  // namespace slim
