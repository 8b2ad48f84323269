// SPDX-License-Identifier: Apache-2.0
// The CPU threads that a call of a model has, and what becomes of them when the process forks.
#pragma once

namespace aot {

/// A call of a model, or a load, while it is at work in this thread. The runtime must be loaded.
class AtWork {
 public:
  /// `threads`: of parallel regions that begin in this call; 0 leaves the runtime's choice.
  explicit AtWork(int threads);
  AtWork(const AtWork&) = delete;
  AtWork& operator=(const AtWork&) = delete;
  ~AtWork();
};

/// Whether this process was forked while another thread was at work: what that thread held is held for ever.
bool is_orphaned();

/// Throws AOT_FAILED where it is: to wait for a lock there might never end.
void refuse_orphans();

}  // namespace aot
