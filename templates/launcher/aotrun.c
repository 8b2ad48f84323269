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
 * With a bundle behind it, it is that bundle as one file (single_file.h). A bundle without libc/ starts
 * python/bin/python3 itself (the host's loader); one without python/ starts the python3 of PATH. The loader gets its
 * library path on the command line and not as LD_LIBRARY_PATH, so that nothing that the model or the runner starts
 * inherits it.
 */
#include "entry.h"
#include "program.h"
#include "single_file.h"
#include "syscalls.h"

enum { MAX_LINKS = 40, RUNNER_ARGUMENTS = 16 };
enum { AT_NULL = 0, AT_EXECFN = 31 };

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

__attribute__((noreturn, used)) void launcher_main(long* stack) {
  struct process process = {stack[0], (char**)(stack + 1), (char**)(stack + 2 + stack[0]), "aotrun"};
  char** end_of_environment = process.envp;
  while (*end_of_environment != NULL) end_of_environment++;
  for (long* aux = (long*)(end_of_environment + 1); aux[0] != AT_NULL; aux += 2) {
    if (aux[0] == AT_EXECFN) process.exec_name = (const char*)aux[1];
  }
  clean_environment(process.envp);
  start_single_file(&process);

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

  const char** argv = allocate_words(process.argc + RUNNER_ARGUMENTS);
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
  fail_without_python();
}
