/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include "syscalls.h"

/* The barrier keeps these two loops, which would otherwise become calls of themselves. */
void* memcpy(void* destination, const void* source, size_t size) {
  for (size_t i = 0; i < size; i++) {
    ((char*)destination)[i] = ((const char*)source)[i];
    __asm__ volatile("" ::: "memory");
  }
  return destination;
}

void* memset(void* destination, int value, size_t size) {
  for (size_t i = 0; i < size; i++) {
    ((char*)destination)[i] = (char)value;
    __asm__ volatile("" ::: "memory");
  }
  return destination;
}

size_t length(const char* text) {
  size_t size = 0;
  while (text[size] != '\0') size++;
  return size;
}

int starts_with(const char* text, const char* prefix) {
  while (*prefix != '\0') {
    if (*text++ != *prefix++) return 0;
  }
  return 1;
}

long last_slash(const char* path) {
  long found = -1;
  for (long i = 0; path[i] != '\0'; i++) {
    if (path[i] == '/') found = i;
  }
  return found;
}

/* Prints up to three pieces; NULL ends them. */
static void print(const char* a, const char* b, const char* c) {
  const char* pieces[3] = {a, b, c};
  for (int i = 0; i < 3 && pieces[i] != NULL; i++) sys_write(2, pieces[i], length(pieces[i]));
}

__attribute__((noreturn)) void fail(int status, const char* what, const char* value, const char* meaning,
                                    const char* fix) {
  print("error: ", what, value);
  print("\n", meaning, "\n");
  print(fix, "\n", NULL);
  sys_exit(status);
}

__attribute__((noreturn)) void fail_damaged(const char* what, const char* value) {
  fail(EXIT_DAMAGED, what, value, "The bundle is incomplete: this file belongs to it.", "Copy the whole bundle again.");
}

__attribute__((noreturn)) void fail_short(const char* path) {
  fail(EXIT_FAILED, "cannot start: ", path, "The system has no more memory, processes or open files to give.",
       "See: ulimit -a, free -m. Of the bundle this says nothing.");
}

int present(const char* path) {
  long error = sys_access(path);
  if (error == -EACCES) {
    fail(EXIT_MACHINE_MISMATCH, "not allowed to look at: ", path, "A folder of the bundle is closed to this user.",
         "Open it (chmod -R a+rX BUNDLE), or run as whom the bundle belongs to.");
  }
  return error == 0;
}

const char* join(char* path, const char* folder, const char* name) {
  size_t left = length(folder);
  size_t right = length(name);
  if (left + right >= PATH_SIZE) {
    fail(EXIT_MACHINE_MISMATCH, "path too long: ", folder, "Linux takes paths of up to 4095 bytes.",
         "Move the bundle to a shorter path.");
  }
  memcpy(path, folder, left);
  memcpy(path + left, name, right + 1);
  return path;
}

const char* join_number(char* path, const char* folder, long number) {
  char digits[24];
  size_t first = sizeof digits - 1;
  digits[first] = '\0';
  do {
    digits[--first] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  return join(path, folder, digits + first);
}

/* Programs that embed the bundle are not protected like this, so `aotrun doctor` wants to warn of the two that are
 * common. They stay under names that mean nothing to anybody else: in lower case, `ld_preload=`, which needs no memory.
 */
void clean_environment(char** envp) {
  static const char told[][17] = {"LD_LIBRARY_PATH=", "LD_PRELOAD="};
  static const char hostile[][16] = {
      "LD_",     "PYTHON",       "GLIBC_TUNABLES=", "GCONV_PATH=", "LOCPATH=",
      "MALLOC_", "GETCONF_DIR=", "NLSPATH=",        "NIS_PATH=",   "RES_OPTIONS=",
  };
  char** kept = envp;
  for (char** entry = envp; *entry != NULL; entry++) {
    int drop = starts_with(*entry, "ld_"); /* only from here may such a name come */
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) drop |= starts_with(*entry, hostile[i]);
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
      if (!starts_with(*entry, told[i])) continue;
      for (char* c = *entry; *c != '='; c++) *c = *c == '_' ? '_' : (char)(*c - 'A' + 'a');
      drop = 0;
    }
    if (!drop) *kept++ = *entry;
  }
  *kept = NULL;
}

const char* environment_value(char** envp, const char* name_and_equals) {
  for (; *envp != NULL; envp++) {
    if (starts_with(*envp, name_and_equals)) return *envp + length(name_and_equals);
  }
  return NULL;
}

__attribute__((noreturn)) void fail_to_start(const char* path, long error) {
  if (error == -EACCES) {
    fail(EXIT_MACHINE_MISMATCH, "not allowed to execute: ", path,
         "The file lost its execute permission, or the file system is mounted noexec.",
         "Restore it (chmod +x), or move the bundle to a file system that allows execution.");
  }
  if (error == -ENOENT) {
    fail(EXIT_MACHINE_MISMATCH, "cannot execute: ", path,
         "This bundle relies on the C library of the machine, and its loader is not here.",
         "Build the bundle with --libc bundled, or install glibc.");
  }
  if (error == -ENOMEM || error == -EAGAIN || error == -EMFILE || error == -ENFILE) fail_short(path);
  fail(EXIT_MACHINE_MISMATCH, "cannot execute: ", path,
       error == -ENOEXEC ? "It is built for another machine type." : "The kernel refused to start it.",
       "Use a bundle that was built on a machine of this type.");
}

void start_host_python(const struct process* process, const char** argv) {
  const char* path = environment_value(process->envp, "PATH=");
  if (path == NULL) path = "/usr/local/bin:/usr/bin:/bin";
  while (*path != '\0') {
    char folder[PATH_SIZE];
    char python[PATH_SIZE];
    size_t size = 0;
    while (path[size] != '\0' && path[size] != ':') size++;
    if (size > 0 && size < PATH_SIZE - sizeof "/python3") {
      memcpy(folder, path, size);
      folder[size] = '\0';
      argv[0] = join(python, folder, "/python3");
      sys_execve(python, argv, process->envp);
    }
    path += size + (path[size] == ':');
  }
}

__attribute__((noreturn)) void fail_without_python(void) {
  fail(EXIT_MACHINE_MISMATCH, "no python3 on PATH", NULL,
       "This bundle was built with --python host: it runs on the machine's own Python 3.8 or newer.",
       "Install python3, or build the bundle with --python bundled.");
}

const char** allocate_words(long count) {
  const char** words = sys_allocate((size_t)count * sizeof *words);
  if (words == NULL) fail(EXIT_FAILED, "out of memory", NULL, "Not even the arguments fit.", "Free some memory.");
  return words;
}
