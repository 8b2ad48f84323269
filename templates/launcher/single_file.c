/* SPDX-License-Identifier: Apache-2.0 */
#include "single_file.h"

#include "syscalls.h"

/* The index begins at a place that every page size divides, with a line of fixed length: mark, bytes of the file, bytes
 * of the index, SHA-256 of what bundle.json does not list. */
enum { INDEX_AT = 65536, NUMBER = 20, HEAD_SIZE = 15 + NUMBER + 1 + NUMBER + 1 + 64 + 1, FIELDS = 5 };
enum { FOLDER_ARGUMENTS = 8, OWN_ARGUMENTS = 24, OWN_VARIABLES = 3 };
static const char mark[] = "aotpack-file 1 ";

struct single_file {
  long fd;
  const char* path; /* for messages */
  const char* data;
  size_t size;
  const char* index; /* its lines */
  const char* end;
};

/* A line of the index: words between tabs. */
struct line {
  struct {
    const char* text;
    size_t size;
  } fields[FIELDS];
  int count;
};

struct content {
  const char* data;
  size_t size;
};

__attribute__((noreturn)) static void fail_broken(const char* path, const char* what) {
  fail(EXIT_DAMAGED, path, what, "The file was truncated or changed since it was packed.",
       "Copy the whole file again.");
}

/* ---- the index ------------------------------------------------------------------------------------------------- */

static size_t number(const struct single_file* file, const char* text, size_t size, unsigned base) {
  size_t value = 0;
  if (size == 0 || size > NUMBER) fail_broken(file->path, ": its index holds no number where one belongs");
  for (size_t i = 0; i < size; i++) {
    const unsigned digit = (unsigned)(text[i] - '0');
    if (digit >= base || __builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value)) {
      fail_broken(file->path, ": its index holds no number where one belongs");
    }
  }
  return value;
}

/* The line at `*at`, which is left behind it; 0 at the end. */
static int next_line(const struct single_file* file, const char** at, struct line* line) {
  if (*at == file->end) return 0;
  line->count = 0;
  for (const char* c = *at;; c++) {
    if (line->count == FIELDS || c == file->end) fail_broken(file->path, ": its index has a line that is none");
    if (*c != '\t' && *c != '\n') continue;
    line->fields[line->count].text = *at;
    line->fields[line->count++].size = (size_t)(c - *at);
    *at = c + 1;
    if (*c == '\n') return 1;
  }
}

/* Whether a line is of this kind: `kind` words before a path. */
static int is(const struct line* line, const char* kind, int count) {
  const size_t size = length(kind);
  if (line->count != count || line->fields[0].size != size) return 0;
  for (size_t i = 0; i < size; i++) {
    if (line->fields[0].text[i] != kind[i]) return 0;
  }
  return 1;
}

/* A field in a buffer of PATH_SIZE bytes. */
static const char* word(const struct single_file* file, const struct line* line, int field, char* text) {
  const size_t size = line->fields[field].size;
  if (size == 0 || size >= PATH_SIZE) fail_broken(file->path, ": its index has a name of an impossible length");
  memcpy(text, line->fields[field].text, size);
  text[size] = '\0';
  return text;
}

/* The content that a line of a file names. */
static struct content content_of(const struct single_file* file, const struct line* line) {
  const size_t offset = number(file, line->fields[2].text, line->fields[2].size, 10);
  const size_t size = number(file, line->fields[3].text, line->fields[3].size, 10);
  if (offset > file->size || size > file->size - offset) fail_broken(file->path, ": its index names a place behind it");
  return (struct content){file->data + offset, size};
}

static int same(const char* text, size_t size, const char* other) {
  if (length(other) != size) return 0;
  for (size_t i = 0; i < size; i++) {
    if (text[i] != other[i]) return 0;
  }
  return 1;
}

static struct content find(const struct single_file* file, const char* path) {
  struct line line;
  for (const char* at = file->index; next_line(file, &at, &line);) {
    if (is(&line, "file", 5) && same(line.fields[4].text, line.fields[4].size, path)) return content_of(file, &line);
  }
  fail_broken(file->path, ": its index does not list what it starts with");
}

/* Opens this executable as a single file; 0 when it is none. */
static int open_self(const struct process* process, struct single_file* file) {
  char head[HEAD_SIZE + 1];
  *file = (struct single_file){.fd = sys_open("/proc/self/exe", O_RDONLY, 0), .path = process->exec_name};
  if (file->fd < 0) file->fd = sys_open(process->exec_name, O_RDONLY, 0);
  if (file->fd < 0) return 0;
  const long got = sys_pread(file->fd, head, HEAD_SIZE, INDEX_AT);
  head[HEAD_SIZE] = '\0';
  if (got == 0) { /* the launcher alone */
    sys_close(file->fd);
    return 0;
  }
  if (got != HEAD_SIZE) fail_broken(file->path, " ends in the middle");
  if (!starts_with(head, mark)) fail_broken(file->path, ": its index does not begin where it should");
  const char* numbers = head + sizeof mark - 1;
  file->size = number(file, numbers, NUMBER, 10);
  const size_t index_size = number(file, numbers + NUMBER + 1, NUMBER, 10);
  const long size = sys_size(file->fd);
  if (size < 0 || (size_t)size != file->size) fail_broken(file->path, " has not the size that it was packed with");
  if (index_size > file->size - INDEX_AT - HEAD_SIZE) fail_broken(file->path, ": its index is longer than itself");
  const long address = sys_map(file->fd, file->size);
  if (address < 0 && address > -4096) fail_short(file->path);
  file->data = (const char*)address;
  file->index = file->data + INDEX_AT + HEAD_SIZE;
  file->end = file->index + index_size;
  return 1;
}

/* ---- from memory ----------------------------------------------------------------------------------------------- */

__attribute__((noreturn)) static void fail_forbidden(const char* what) {
  fail(EXIT_MACHINE_MISMATCH, "this system does not let a single file start: ", what,
       "Its libraries are files in memory (memfd), which the loader finds in /proc/self/fd.",
       "Let it unpack itself: AOT_UNPACK=DIR, a folder that may be written and executed. Or mount /proc.");
}

/* Returns 0, or -errno. */
static long write_all(long fd, struct content content) {
  while (content.size > 0) {
    const long written = sys_write(fd, content.data, content.size);
    if (written == -EINTR) continue;
    if (written < 0) return written;
    content.data += written;
    content.size -= (size_t)written;
  }
  return 0;
}

/* The content as a file in memory that the next program inherits. */
static long in_memory(const struct single_file* file, const char* path) {
  const long fd = sys_file_in_memory(path + last_slash(path) + 1);
  if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM) fail_short(file->path);
  if (fd < 0) fail_forbidden(fd == -ENOSYS ? "there is no memfd" : "a memfd is refused");
  if (write_all(fd, find(file, path)) < 0) fail_short(file->path);
  return fd;
}

static const char* name_of(long fd, char* path) { return join_number(path, "/proc/self/fd/", fd); }

/* Text that stays. */
static const char* keep(const char* a, const char* b, const char* c) {
  const size_t sizes[3] = {length(a), length(b), length(c)};
  char* text = sys_allocate(sizes[0] + sizes[1] + sizes[2] + 1);
  if (text == NULL) fail_short("memory");
  memcpy(text, a, sizes[0]);
  memcpy(text + sizes[0], b, sizes[1]);
  memcpy(text + sizes[0] + sizes[1], c, sizes[2]);
  return text;
}

/* The path that a line of this kind names, in `path`; 0 when there is none. */
static int named(const struct single_file* file, const char* kind, char* path) {
  struct line line;
  for (const char* at = file->index; next_line(file, &at, &line);) {
    if (is(&line, kind, 2)) return word(file, &line, 1, path) != NULL;
  }
  return 0;
}

/* The libraries that the interpreter starts with, as the loader's --preload takes them. */
static const char* preloads(const struct single_file* file) {
  char path[PATH_SIZE];
  char name[PATH_SIZE];
  const char* list = "";
  struct line line;
  for (const char* at = file->index; next_line(file, &at, &line);) {
    if (!is(&line, "preload", 2)) continue;
    name_of(in_memory(file, word(file, &line, 1, path)), name);
    list = keep(list, *list == '\0' ? "" : ":", name);
  }
  return list;
}

/* The environment with what makes the interpreter look into the file. */
static char** environment(const struct process* process, const char* home) {
  long count = 0;
  while (process->envp[count] != NULL) count++;
  char** envp = (char**)allocate_words(count + OWN_VARIABLES);
  for (long i = 0; i < count; i++) envp[i] = process->envp[i];
  envp[count++] = (char*)keep("PYTHONSAFEPATH=1", "", "");
  if (home != NULL) envp[count] = (char*)keep("PYTHONHOME=", home, "/python");
  return envp;
}

__attribute__((noreturn)) static void start_from_memory(const struct process* process, const struct single_file* file) {
  char self[PATH_SIZE];
  char path[PATH_SIZE];
  char name[PATH_SIZE];
  name_of(file->fd, self);
  if (sys_access(self) != 0) fail_forbidden("there is no /proc");

  const char** argv = allocate_words(process->argc + OWN_ARGUMENTS);
  const char** next = argv;
  const int has_python = named(file, "program", path);
  long program = has_python ? in_memory(file, path) : -1;
  *next++ = process->exec_name;
  if (has_python && named(file, "loader", path)) {
    *next++ = "--preload";
    *next++ = preloads(file);
    *next++ = keep(name_of(program, name), "", "");
    program = in_memory(file, path);
  }
  *next++ = "-s"; /* as -I, which would not believe PYTHONHOME either: no user packages, */
  *next++ = "-S"; /* no site packages */
  *next++ = "-B";
  *next++ = "-X";
  *next++ = "utf8";
  *next++ = "-c";
  /* Without the working directory, which versions of Python before 3.11 put on the module path. */
  *next++ = keep(keep("import sys,zipimport\nsys.path[:]=filter(None,sys.path)\n"
                      "exec(zipimport.zipimporter('",
                      self, "/runner/aotrun').get_code('__main__'),"),
                 keep("{'__name__':'__main__','__file__':'", self, "/runner/aotrun/__main__.py'})"), "");
  for (long i = 1; i < process->argc; i++) *next++ = process->argv[i];

  struct process changed = *process;
  changed.envp = environment(process, has_python ? self : NULL);
  if (!has_python) {
    start_host_python(&changed, argv);
    fail_without_python();
  }
  const long error = sys_execute(program, argv, changed.envp);
  if (error == -EACCES || error == -EPERM) fail_forbidden("a file in memory may not be executed");
  fail_to_start(file->path, error);
}

/* ---- unpacking ------------------------------------------------------------------------------------------------- */

/* Whether a path stays in the folder that it is put into. */
static int stays_inside(const char* path) {
  for (const char* part = path;; part++) {
    size_t size = 0;
    while (part[size] != '\0' && part[size] != '/') size++;
    if (size == 0 || (size == 1 && part[0] == '.') || (size == 2 && part[0] == '.' && part[1] == '.')) return 0;
    part += size;
    if (*part == '\0') return 1;
  }
}

/* Where a line's folder, file or link goes; its name is the last field. */
static const char* place_of(const struct single_file* file, const struct line* line, const char* folder, char* path) {
  char name[PATH_SIZE];
  if (!stays_inside(word(file, line, line->count - 1, name))) fail_broken(file->path, ": its index leaves its folder");
  char with_slash[PATH_SIZE];
  return join(path, join(with_slash, folder, "/"), name);
}

/* Makes what a line says. Returns 0, or -errno. */
static long make(const struct single_file* file, const struct line* line, const char* path) {
  char target[PATH_SIZE];
  if (is(line, "folder", 2)) {
    const long error = sys_mkdir(path);
    return error < 0 ? error : sys_chmod(path, 0755);
  }
  if (is(line, "link", 3)) return sys_symlink(word(file, line, 1, target), path);
  const struct content content = content_of(file, line);
  const size_t mode = number(file, line->fields[1].text, line->fields[1].size, 8) & 0777;
  const long fd = sys_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return fd;
  long error = write_all(fd, content);
  const long closed = sys_close(fd);
  if (error == 0) error = closed;
  return error < 0 ? error : sys_chmod(path, (long)mode);
}

static int is_made(const struct line* line) {
  return is(line, "folder", 2) || is(line, "link", 3) || is(line, "file", 5);
}

/* Takes away what was made of an unpacked folder: files and links first, then folders, the innermost first. */
static void remove_folder(const struct single_file* file, const char* folder) {
  char path[PATH_SIZE];
  struct line line;
  size_t folders = 0;
  for (const char* at = file->index; next_line(file, &at, &line);) {
    if (is(&line, "folder", 2)) folders++;
    if (is(&line, "link", 3) || is(&line, "file", 5)) sys_remove(place_of(file, &line, folder, path), 0);
  }
  for (; folders > 0; folders--) {
    size_t seen = 0;
    for (const char* at = file->index; next_line(file, &at, &line);) {
      if (is(&line, "folder", 2) && ++seen == folders) sys_remove(place_of(file, &line, folder, path), AT_REMOVEDIR);
    }
  }
  sys_remove(folder, AT_REMOVEDIR);
}

__attribute__((noreturn)) static void fail_to_unpack(const char* folder, long error) {
  const char* reason = error == -ENOSPC                      ? "The disk is full."
                       : error == -EROFS                     ? "The file system is read-only."
                       : error == -ENOENT                    ? "The folder that it would lie in does not exist."
                       : error == -EACCES || error == -EPERM ? "This user may not write there."
                       : error == -ENOTEMPTY || error == -EEXIST || error == -ENOTDIR
                           ? "Something else is there, which is left as it is."
                           : "The system refused.";
  fail(EXIT_FAILED, "cannot unpack to ", folder, reason,
       "Name another folder; it is made, and holds the bundle alone.");
}

/* Makes a folder beside `folder`. Names are taken where processes of several containers have one pid, or where one was
 * ended in the middle and comes again with the same. Returns 0, or -errno. */
static long make_partial(const char* folder, char* partial) {
  enum { TRIES = 1000 };
  char with_dot[PATH_SIZE];
  join(with_dot, folder, ".part-");
  long error = -EEXIST;
  for (long i = 0; error == -EEXIST && i < TRIES; i++) {
    error = sys_mkdir(join_number(partial, with_dot, sys_pid() + i));
  }
  return error;
}

/* Unpacks into a folder beside `folder`, which takes its place once it is whole. Returns 0, or -errno. */
static long unpack(const struct single_file* file, const char* folder) {
  char partial[PATH_SIZE];
  char path[PATH_SIZE];
  long error = make_partial(folder, partial);
  if (error < 0) return error;
  error = sys_chmod(partial, 0755);
  struct line line;
  for (const char* at = file->index; error == 0 && next_line(file, &at, &line);) {
    if (is_made(&line)) error = make(file, &line, place_of(file, &line, partial, path));
  }
  if (error == 0) error = sys_rename(partial, folder);
  if (error < 0) remove_folder(file, partial);
  return error;
}

/* Whether this very bundle lies in the folder, by its description. */
static int is_unpacked(const struct single_file* file, const char* folder) {
  char path[PATH_SIZE];
  char buffer[PATH_SIZE];
  const struct content wanted = find(file, "bundle.json");
  const long fd = sys_open(join(path, folder, "/bundle.json"), O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return 0;
  size_t done = 0;
  int is_same = 1;
  while (is_same) {
    const long got = sys_read(fd, buffer, sizeof buffer);
    if (got <= 0) break;
    is_same = (size_t)got <= wanted.size - done;
    for (long i = 0; is_same && i < got; i++) is_same = buffer[i] == wanted.data[done + (size_t)i];
    done += (size_t)got;
  }
  sys_close(fd);
  return is_same && done == wanted.size;
}

/* A folder's name without slashes at its end. */
static const char* folder_of(const char* text, char* folder) {
  size_t size = length(join(folder, text, ""));
  while (size > 1 && folder[size - 1] == '/') folder[--size] = '\0';
  return folder;
}

__attribute__((noreturn)) static void start_unpacked(const struct process* process, const struct single_file* file,
                                                     const char* text) {
  char folder[PATH_SIZE];
  char path[PATH_SIZE];
  folder_of(text, folder);
  if (!is_unpacked(file, folder)) {
    const long error = unpack(file, folder);
    if (error < 0 && !is_unpacked(file, folder)) fail_to_unpack(folder, error); /* another copy may have been faster */
  }
  sys_close(file->fd);
  const char** argv = allocate_words(process->argc + FOLDER_ARGUMENTS);
  argv[0] = join(path, folder, "/bin/aotrun");
  for (long i = 1; i < process->argc; i++) argv[i] = process->argv[i];
  fail_to_start(path, sys_execve(path, argv, process->envp));
}

void start_single_file(const struct process* process) {
  struct single_file file;
  char folder[PATH_SIZE];
  if (!open_self(process, &file)) return;
  if (process->argc > 1 && same(process->argv[1], length(process->argv[1]), "--unpack")) {
    if (process->argc != 3 || process->argv[2][0] == '\0') {
      fail(EXIT_USAGE, "--unpack takes one folder", NULL, "The bundle is unpacked there, byte for byte.",
           "See: --unpack DIR");
    }
    const long error = unpack(&file, folder_of(process->argv[2], folder));
    if (error < 0) fail_to_unpack(folder, error);
    sys_exit(0);
  }
  const char* wanted = environment_value(process->envp, "AOT_UNPACK=");
  if (wanted != NULL && wanted[0] != '\0') start_unpacked(process, &file, wanted);
  start_from_memory(process, &file);
}
