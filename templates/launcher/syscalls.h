/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel's interface without a libc: the system calls of the launcher, for x86-64 and aarch64.
 *
 * Only the *at() forms are used, which every Linux architecture has. A call returns -errno on failure, as the kernel
 * does.
 */
#ifndef AOTRUN_SYSCALLS_H
#define AOTRUN_SYSCALLS_H

#include <stddef.h>

#if defined(__x86_64__)

#define LOADER_NAME "ld-linux-x86-64.so.2"

enum {
  SYS_READ = 0,
  SYS_WRITE = 1,
  SYS_CLOSE = 3,
  SYS_LSEEK = 8,
  SYS_MMAP = 9,
  SYS_PREAD = 17,
  SYS_GETPID = 39,
  SYS_EXECVE = 59,
  SYS_GETCWD = 79,
  SYS_CHDIR = 80,
  SYS_FCHDIR = 81,
  SYS_EXIT_GROUP = 231,
  SYS_OPENAT = 257,
  SYS_MKDIRAT = 258,
  SYS_UNLINKAT = 263,
  SYS_SYMLINKAT = 266,
  SYS_READLINKAT = 267,
  SYS_FCHMODAT = 268,
  SYS_FACCESSAT = 269,
  SYS_RENAMEAT2 = 316,
  SYS_MEMFD_CREATE = 319,
  SYS_EXECVEAT = 322
};

static inline long syscall6(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

#elif defined(__aarch64__)

#define LOADER_NAME "ld-linux-aarch64.so.1"

enum {
  SYS_GETCWD = 17,
  SYS_MKDIRAT = 34,
  SYS_UNLINKAT = 35,
  SYS_SYMLINKAT = 36,
  SYS_FACCESSAT = 48,
  SYS_CHDIR = 49,
  SYS_FCHDIR = 50,
  SYS_FCHMODAT = 53,
  SYS_OPENAT = 56,
  SYS_CLOSE = 57,
  SYS_LSEEK = 62,
  SYS_READ = 63,
  SYS_WRITE = 64,
  SYS_PREAD = 67,
  SYS_READLINKAT = 78,
  SYS_EXIT_GROUP = 94,
  SYS_GETPID = 172,
  SYS_EXECVE = 221,
  SYS_MMAP = 222,
  SYS_RENAMEAT2 = 276,
  SYS_MEMFD_CREATE = 279,
  SYS_EXECVEAT = 281
};

static inline long syscall6(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}

#else
#error "aotrun's launcher knows x86-64 and aarch64"
#endif

enum { AT_FDCWD = -100, AT_EMPTY_PATH = 0x1000, AT_REMOVEDIR = 0x200, F_OK = 0, SEEK_END = 2 };
enum { O_RDONLY = 0, O_WRONLY = 01, O_CREAT = 0100, O_EXCL = 0200, O_CLOEXEC = 02000000, O_PATH_CLOEXEC = 012000000 };
enum {
  EPERM = 1,
  ENOENT = 2,
  EINTR = 4,
  ENOEXEC = 8,
  EAGAIN = 11,
  ENOMEM = 12,
  EACCES = 13,
  EEXIST = 17,
  ENOTDIR = 20,
  EINVAL = 22,
  ENFILE = 23,
  EMFILE = 24,
  ENOSPC = 28,
  EROFS = 30,
  ENOSYS = 38,
  ENOTEMPTY = 39
};

static inline long sys_write(long fd, const char* text, size_t size) {
  return syscall6(SYS_WRITE, fd, (long)text, (long)size, 0, 0, 0);
}

static inline long sys_read(long fd, char* text, size_t size) {
  return syscall6(SYS_READ, fd, (long)text, (long)size, 0, 0, 0);
}

static inline long sys_pread(long fd, char* text, size_t size, size_t offset) {
  return syscall6(SYS_PREAD, fd, (long)text, (long)size, (long)offset, 0, 0);
}

static inline long sys_close(long fd) { return syscall6(SYS_CLOSE, fd, 0, 0, 0, 0, 0); }

/* The size of an open file. */
static inline long sys_size(long fd) { return syscall6(SYS_LSEEK, fd, 0, SEEK_END, 0, 0, 0); }

__attribute__((noreturn)) static inline void sys_exit(int status) {
  for (;;) syscall6(SYS_EXIT_GROUP, status, 0, 0, 0, 0, 0);
}

static inline long sys_pid(void) { return syscall6(SYS_GETPID, 0, 0, 0, 0, 0, 0); }

static inline long sys_open(const char* path, long flags, long mode) {
  return syscall6(SYS_OPENAT, AT_FDCWD, (long)path, flags, mode, 0, 0);
}

static inline long sys_open_path(const char* path) { return sys_open(path, O_PATH_CLOEXEC, 0); }

static inline long sys_readlink(const char* path, char* target, size_t size) {
  return syscall6(SYS_READLINKAT, AT_FDCWD, (long)path, (long)target, (long)size, 0, 0);
}

static inline long sys_access(const char* path) { return syscall6(SYS_FACCESSAT, AT_FDCWD, (long)path, F_OK, 0, 0, 0); }

static inline long sys_getcwd(char* path, size_t size) {
  return syscall6(SYS_GETCWD, (long)path, (long)size, 0, 0, 0, 0);
}

static inline long sys_chdir(const char* path) { return syscall6(SYS_CHDIR, (long)path, 0, 0, 0, 0, 0); }

static inline long sys_fchdir(long fd) { return syscall6(SYS_FCHDIR, fd, 0, 0, 0, 0, 0); }

static inline long sys_mkdir(const char* path) { return syscall6(SYS_MKDIRAT, AT_FDCWD, (long)path, 0755, 0, 0, 0); }

static inline long sys_chmod(const char* path, long mode) {
  return syscall6(SYS_FCHMODAT, AT_FDCWD, (long)path, mode, 0, 0, 0);
}

static inline long sys_symlink(const char* target, const char* path) {
  return syscall6(SYS_SYMLINKAT, (long)target, AT_FDCWD, (long)path, 0, 0, 0);
}

/* `flags`: AT_REMOVEDIR for a folder. */
static inline long sys_remove(const char* path, long flags) {
  return syscall6(SYS_UNLINKAT, AT_FDCWD, (long)path, flags, 0, 0, 0);
}

static inline long sys_rename(const char* from, const char* to) {
  return syscall6(SYS_RENAMEAT2, AT_FDCWD, (long)from, AT_FDCWD, (long)to, 0, 0);
}

static inline long sys_execve(const char* path, const char** argv, char** envp) {
  return syscall6(SYS_EXECVE, (long)path, (long)argv, (long)envp, 0, 0, 0);
}

/* Runs the program of an open file. */
static inline long sys_execute(long fd, const char** argv, char** envp) {
  return syscall6(SYS_EXECVEAT, fd, (long)"", (long)argv, (long)envp, AT_EMPTY_PATH, 0);
}

/* An empty file in memory that a program of this process may inherit and execute. */
static inline long sys_file_in_memory(const char* name) {
  enum { MFD_EXEC = 0x10 };
  const long fd = syscall6(SYS_MEMFD_CREATE, (long)name, MFD_EXEC, 0, 0, 0, 0);
  return fd == -EINVAL ? syscall6(SYS_MEMFD_CREATE, (long)name, 0, 0, 0, 0, 0) : fd; /* before Linux 6.3 */
}

/* An open file in memory, read when touched; or -errno. */
static inline long sys_map(long fd, size_t size) {
  enum { PROT_READ = 1, MAP_PRIVATE = 2 };
  return syscall6(SYS_MMAP, 0, (long)size, PROT_READ, MAP_PRIVATE, fd, 0);
}

/* Zeroed memory of this process, or NULL. */
static inline void* sys_allocate(size_t size) {
  enum { PROT_READ_WRITE = 3, MAP_PRIVATE_ANONYMOUS = 0x22 };
  long address = syscall6(SYS_MMAP, 0, (long)size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  return address < 0 && address > -4096 ? NULL : (void*)address;
}

#endif /* AOTRUN_SYSCALLS_H */
