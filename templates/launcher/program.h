/* SPDX-License-Identifier: Apache-2.0
 *
 * What a program without a libc needs: text, errors, the environment, the starting of other programs.
 */
#ifndef AOTRUN_PROGRAM_H
#define AOTRUN_PROGRAM_H

#include <stddef.h>

enum { PATH_SIZE = 4096 };
enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_DAMAGED = 6, EXIT_MACHINE_MISMATCH = 7 };

/* What the kernel leaves on the stack of a new process. */
struct process {
  long argc;
  char** argv;
  char** envp;
  const char* exec_name; /* AT_EXECFN: the path given to execve */
};

/* Compilers call these two for what looks like them in C, also without a libc. */
void* memcpy(void* destination, const void* source, size_t size);
void* memset(void* destination, int value, size_t size);

size_t length(const char* text);
int starts_with(const char* text, const char* prefix);

/* Index of the last '/' of `path`, or -1. */
long last_slash(const char* path);

/* Writes `folder` + `name` into `path` of PATH_SIZE bytes. */
const char* join(char* path, const char* folder, const char* name);

/* Writes `folder` + the decimal digits of `number`. */
const char* join_number(char* path, const char* folder, long number);

/* An error is three lines: what is wrong with the value seen, what it means, what to do next. */
__attribute__((noreturn)) void fail(int status, const char* what, const char* value, const char* meaning,
                                    const char* fix);
__attribute__((noreturn)) void fail_damaged(const char* what, const char* value);

/* For what says nothing of the bundle. */
__attribute__((noreturn)) void fail_short(const char* path);
__attribute__((noreturn)) void fail_to_start(const char* path, long error);

/* Whether there is such a file; a folder on the way that may not be entered is another matter than one that is gone. */
int present(const char* path);

/* Removes in place what could divert the loader, the C library or the interpreter. */
void clean_environment(char** envp);

/* NULL when there is none. */
const char* environment_value(char** envp, const char* name_and_equals);

/* Runs python3 from PATH with `argv`, whose first entry it sets; returns only when there is none. */
void start_host_python(const struct process* process, const char** argv);
__attribute__((noreturn)) void fail_without_python(void);

/* Room for `count` pointers, all NULL. */
const char** allocate_words(long count);

#endif /* AOTRUN_PROGRAM_H */
