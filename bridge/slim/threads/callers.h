// How many threads a caller gets. Callers share the processors: their regions together have as many threads as there
// are processors, so that sixteen callers on two of them run beside each other, each alone.
#pragma once

namespace slim {

// The processors that this process may use; OMP_NUM_THREADS says otherwise.
int processors() noexcept;

// What this thread asks for; 0 goes back to `processors`.
void set_threads(int count) noexcept;

// What a region begun here would have: at least 1. All of them exist, or can be made.
int max_threads() noexcept;

// The same for code that makes room for as many: no region that asks for no number has more from then on, in this call
// and until this thread is told again. Threads that could not be made a moment ago may be possible now.
int told_threads() noexcept;

// What a region that asks for no number may have.
int region_threads() noexcept;

// Around a call of a model: what is begun within shares with the calls of other threads.
void enter_call() noexcept;
void leave_call() noexcept;

}  // namespace slim
