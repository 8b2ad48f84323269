// The pool as others see it: C functions of libaomp.so.1, the library of everything in this folder.
#pragma once

#include <cstddef>

#define AOT_SLIM_THREADS extern "C" __attribute__((visibility("default")))

// Calls piece(data, number) for each number from 0 to below `count`, at the same time where threads are free, else one
// after the other: pieces must not wait for one another. Within another parallel region one after the other.
AOT_SLIM_THREADS void aot_slim_parallel(void (*piece)(void* data, int number), void* data, int count);

// The threads that a region begun here would get: one inside another region, fewer where other callers are at work.
AOT_SLIM_THREADS int aot_slim_threads();

// What regions that this thread begins are to have; 0: as many as there are processors. Others' calls may leave fewer.
AOT_SLIM_THREADS void aot_slim_set_threads(int count);

// Around each call of a model: callers at work at the same time share the processors.
AOT_SLIM_THREADS void aot_slim_enter_call();
AOT_SLIM_THREADS void aot_slim_leave_call();

// Whether this thread is in a region of generated code, which no exception can leave.
AOT_SLIM_THREADS int aot_slim_is_in_region();

// Ends that region for all of its threads, as soon as each comes to a barrier or to the end. What they were to compute
// is not computed; aot_slim_take_failure tells the thread that began it.
AOT_SLIM_THREADS void aot_slim_leave_region [[noreturn]] (const char* why);

// Whether a region of this thread has failed since this was last asked: 1, and why.
AOT_SLIM_THREADS int aot_slim_take_failure(char* text, size_t size);
