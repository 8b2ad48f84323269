/* SPDX-License-Identifier: Apache-2.0
 *
 * aotrun: the launcher of a bundle. Static, freestanding, no libc: it starts where nothing is installed.
 *
 * It finds the bundle it lies in, drops the environment variables that could divert the loader or the interpreter,
 * and replaces itself by the bundled interpreter (through the bundled loader) running the bundled runner:
 *
 *     ROOT/libc/ld-linux-*.so.2 --library-path ROOT/libc ROOT/python/bin/python3 -I -S -B -X utf8
 *         ROOT/runner/aotrun/__main__.py ARGUMENTS...
 *
 * A bundle without libc/ starts python/bin/python3 itself (the host's loader); one without python/ starts the
 * python3 of PATH. The loader gets its library path on the command line and not as LD_LIBRARY_PATH, so that nothing
 * that the model or the runner starts inherits it.
 */
#include "syscalls.h"

enum { PATH_SIZE = 4096, MAX_LINKS = 40, RUNNER_ARGUMENTS = 16 };
enum { EXIT_FAILED = 1, EXIT_DAMAGED = 6, EXIT_MACHINE_MISMATCH = 7 };
enum { AT_NULL = 0, AT_EXECFN = 31 };

/* What the kernel leaves on the stack of a new process. */
struct process {
  long argc;
  char** argv;
  char** envp;
  const char* exec_name; /* AT_EXECFN: the path given to execve */
};

/* ---- text ---------------------------------------------------------------------------------------------------- */

/* Compilers call these two for what looks like them in C, also without a libc. The barrier keeps them loops. */
__attribute__((used)) void* memcpy(void* destination, const void* source, size_t size) {
  for (size_t i = 0; i < size; i++) {
    ((char*)destination)[i] = ((const char*)source)[i];
    __asm__ volatile("" ::: "memory");
  }
  return destination;
}

__attribute__((used)) void* memset(void* destination, int value, size_t size) {
  for (size_t i = 0; i < size; i++) {
    ((char*)destination)[i] = (char)value;
    __asm__ volatile("" ::: "memory");
  }
  return destination;
}

static size_t length(const char* text) {
  size_t size = 0;
  while (text[size] != '\0') size++;
  return size;
}

static int starts_with(const char* text, const char* prefix) {
  while (*prefix != '\0') {
    if (*text++ != *prefix++) return 0;
  }
  return 1;
}

/* Index of the last '/' of `path`, or -1. */
static long last_slash(const char* path) {
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

/* An error is three lines: what is wrong with the value seen, what it means, what to do next. */
__attribute__((noreturn)) static void fail(int status, const char* what, const char* value, const char* meaning,
                                           const char* fix) {
  print("error: ", what, value);
  print("\n", meaning, "\n");
  print(fix, "\n", NULL);
  sys_exit(status);
}

__attribute__((noreturn)) static void fail_damaged(const char* what, const char* value) {
  fail(EXIT_DAMAGED, what, value, "The bundle is incomplete: this file belongs to it.", "Copy the whole bundle again.");
}

/* For what says nothing of the bundle. */
__attribute__((noreturn)) static void fail_short(const char* path) {
  fail(EXIT_FAILED, "cannot start: ", path, "The system has no more memory, processes or open files to give.",
       "See: ulimit -a, free -m. Of the bundle this says nothing.");
}

/* Whether there is such a file; a folder on the way that may not be entered is another matter than one that is gone. */
static int present(const char* path) {
  long error = sys_access(path);
  if (error == -EACCES) {
    fail(EXIT_MACHINE_MISMATCH, "not allowed to look at: ", path, "A folder of the bundle is closed to this user.",
         "Open it (chmod -R a+rX BUNDLE), or run as whom the bundle belongs to.");
  }
  return error == 0;
}

/* Writes `folder` + `name` into `path` of PATH_SIZE bytes. */
static const char* join(char* path, const char* folder, const char* name) {
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

/* ---- where the bundle is ------------------------------------------------------------------------------------- */

/* The path of this executable with every symbolic link of its last component followed. */
static void find_self(const struct process* process, char* self) {
  long size = sys_readlink("/proc/self/exe", self, PATH_SIZE - 1);
  if (size > 0) {
    self[size] = '\0';
    return;
  }
  /* No /proc: the path that was executed, relative to the working directory or absolute. */
  join(self, process->exec_name, "");
  for (int links = 0; links < MAX_LINKS; links++) {
    char target[PATH_SIZE];
    char folder[PATH_SIZE];
    size = sys_readlink(self, target, PATH_SIZE - 1);
    if (size <= 0) return;
    target[size] = '\0';
    if (target[0] == '/') {
      join(self, target, "");
      continue;
    }
    join(folder, self, "");
    folder[last_slash(folder) + 1] = '\0';
    join(self, folder, target);
  }
}

/* The bundle's folder, absolute and without links, no slash at its end: the parent of this executable's folder. */
static void find_root(const struct process* process, char* root) {
  char self[PATH_SIZE];
  char parent[PATH_SIZE];
  find_self(process, self);
  self[last_slash(self) + 1] = '\0';
  join(parent, self, "..");

  /* Let the kernel resolve it: go there, ask where we are, and come back. */
  long here = sys_open_path(".");
  if (here == -EMFILE || here == -ENFILE || here == -ENOMEM) fail_short(process->exec_name);
  int found = here >= 0 && sys_chdir(parent) == 0 && sys_getcwd(root, PATH_SIZE) > 0 && sys_fchdir(here) == 0;
  if (!found || root[0] != '/') {
    fail(EXIT_DAMAGED, "cannot tell which bundle this is: ", process->exec_name,
         "The folder that holds bin/aotrun, or the working directory, cannot be entered.",
         "Start BUNDLE/bin/aotrun by its full path from a folder that you may enter.");
  }
  if (root[1] == '\0') root[0] = '\0'; /* the bundle is the file system's root: "" + "/lib" */
}

/* ---- environment --------------------------------------------------------------------------------------------- */

/* Removes in place what could divert the loader, the C library or the interpreter.
 *
 * Programs that embed the bundle are not protected like this, so `aotrun doctor` wants to warn of the two that are
 * common. They stay under names that mean nothing to anybody else: in lower case, `ld_preload=`, which needs no memory.
 */
static void clean_environment(char** envp) {
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

static const char* environment_value(char** envp, const char* name_and_equals) {
  for (; *envp != NULL; envp++) {
    if (starts_with(*envp, name_and_equals)) return *envp + length(name_and_equals);
  }
  return NULL;
}

/* ---- starting ------------------------------------------------------------------------------------------------ */

__attribute__((noreturn)) static void fail_to_start(const char* path, long error) {
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

/* Runs python3 from PATH with `argv`, whose first entry it sets; returns only when there is none. */
static void start_host_python(const struct process* process, const char** argv) {
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

__attribute__((noreturn, used)) void launcher_main(long* stack) {
  struct process process = {stack[0], (char**)(stack + 1), (char**)(stack + 2 + stack[0]), "aotrun"};
  char** end_of_environment = process.envp;
  while (*end_of_environment != NULL) end_of_environment++;
  for (long* aux = (long*)(end_of_environment + 1); aux[0] != AT_NULL; aux += 2) {
    if (aux[0] == AT_EXECFN) process.exec_name = (const char*)aux[1];
  }
  clean_environment(process.envp);

  char root[PATH_SIZE];
  char libc[PATH_SIZE];
  char loader[PATH_SIZE];
  char python_folder[PATH_SIZE];
  char python[PATH_SIZE];
  char runner[PATH_SIZE];
  find_root(&process, root);
  join(libc, root, "/libc");
  join(loader, libc, "/" LOADER_NAME);
  join(python_folder, root, "/python");
  join(python, python_folder, "/bin/python3");
  join(runner, root, "/runner/aotrun/__main__.py");
  if (!present(runner)) fail_damaged("missing runner: ", runner);

  const char** argv = sys_allocate((size_t)(process.argc + RUNNER_ARGUMENTS) * sizeof *argv);
  if (argv == NULL) {
    fail(EXIT_FAILED, "out of memory", NULL, "Not even the arguments fit.", "Free some memory.");
  }
  const char** next = argv;
  int bundled_python = present(python_folder);
  int bundled_libc = bundled_python && present(libc);
  if (bundled_libc) {
    if (!present(loader)) fail_damaged("missing loader: ", loader);
    for (const char* c = libc; *c != '\0'; c++) {
      if (*c == ':' || *c == ';' || *c == '$') {
        fail(EXIT_MACHINE_MISMATCH, "the loader cannot work from this path: ", root,
             "The characters : ; $ have a meaning of their own in library paths.",
             "Move the bundle to a path without them.");
      }
    }
    *next++ = loader;
    *next++ = "--library-path";
    *next++ = libc;
  }
  *next++ = python; /* replaced when the host's is used */
  *next++ = "-I";   /* no environment, no user packages, no working directory on the module path */
  *next++ = "-S";   /* no site packages */
  *next++ = "-B";   /* writes no bytecode */
  *next++ = "-X";
  *next++ = "utf8"; /* whatever the locale, which an empty root does not have */
  *next++ = runner;
  for (long i = 1; i < process.argc; i++) *next++ = process.argv[i];
  *next = NULL;

  if (bundled_python) {
    if (!present(python)) fail_damaged("missing interpreter: ", python);
    fail_to_start(argv[0], sys_execve(argv[0], argv, process.envp));
  }
  start_host_python(&process, argv);
  fail(EXIT_MACHINE_MISMATCH, "no python3 on PATH", NULL,
       "This bundle was built with --python host: it runs on the machine's own Python 3.8 or newer.",
       "Install python3, or build the bundle with --python bundled.");
}
