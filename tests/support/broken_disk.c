/* Preloaded: the files below $BROKEN_BELOW lie on a disk that fails. $BROKEN_CALL is "read" or "write": which of the
 * two ends with EIO. A mapping is not a call, and so stays whole. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(int file, const char* call) {
  const char* below = getenv("BROKEN_BELOW");
  const char* which = getenv("BROKEN_CALL");
  if (below == NULL || which == NULL || strcmp(which, call) != 0) return 0;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = '\0';
  return strncmp(path, below, strlen(below)) == 0;
}

#define ANSWER(name, call, type, parameters, arguments)         \
  type name parameters {                                        \
    static type(*real) parameters;                              \
    if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, #name); \
    if (!fails(file, call)) return real arguments;              \
    errno = EIO;                                                \
    return -1;                                                  \
  }

ANSWER(read, "read", ssize_t, (int file, void* data, size_t size), (file, data, size))
ANSWER(pread, "read", ssize_t, (int file, void* data, size_t size, off_t at), (file, data, size, at))
ANSWER(pread64, "read", ssize_t, (int file, void* data, size_t size, off64_t at), (file, data, size, at))
ANSWER(write, "write", ssize_t, (int file, const void* data, size_t size), (file, data, size))
ANSWER(copy_file_range, "write", ssize_t, (int in, off64_t* from, int file, off64_t* to, size_t size, unsigned flags),
       (in, from, file, to, size, flags))
ANSWER(sendfile, "write", ssize_t, (int file, int in, off_t* from, size_t size), (file, in, from, size))
ANSWER(sendfile64, "write", ssize_t, (int file, int in, off64_t* from, size_t size), (file, in, from, size))
ANSWER(fsync, "write", int, (int file), (file))
