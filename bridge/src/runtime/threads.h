// SPDX-License-Identifier: Apache-2.0
// The CPU threads that a call of a model has, and what becomes of them when the process forks.
#pragma once

namespace aot {

/// A call of a model, or a load, while this thread waits for its turn or is at work. The runtime must be loaded.
class AtWork {
 public:
  AtWork();
  AtWork(const AtWork&) = delete;
  AtWork& operator=(const AtWork&) = delete;
  ~AtWork();
};

/// The threads of a call, from when it has its turn.
class CallThreads {
 public:
  /// `threads`: of parallel regions that begin in this call; 0 leaves the runtime's choice.
  explicit CallThreads(int threads);
  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;
  ~CallThreads();
};

/// Whether this process was forked while another thread was at work: what that thread held is held for ever.
bool is_orphaned();

/// Throws AOT_FAILED where it is: to wait for a lock there might never end.
void refuse_orphans();

}  // namespace aot
