/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel's interface without a libc: the process entry point and ten system calls, for x86-64 and aarch64.
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
  SYS_WRITE = 1,
  SYS_MMAP = 9,
  SYS_EXECVE = 59,
  SYS_GETCWD = 79,
  SYS_CHDIR = 80,
  SYS_FCHDIR = 81,
  SYS_EXIT_GROUP = 231,
  SYS_OPENAT = 257,
  SYS_READLINKAT = 267,
  SYS_FACCESSAT = 269
};

static long syscall6(long number, long a, long b, long c, long d, long e, long f) {
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

/* The kernel leaves argc, argv, envp and the auxiliary vector on the stack: hand their address over as an argument. */
__asm__(
    ".text\n"
    ".globl _start\n"
    ".type _start, @function\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  mov %rsp, %rdi\n"
    "  and $-16, %rsp\n"
    "  call launcher_main\n");

#elif defined(__aarch64__)

#define LOADER_NAME "ld-linux-aarch64.so.1"

enum {
  SYS_GETCWD = 17,
  SYS_FACCESSAT = 48,
  SYS_CHDIR = 49,
  SYS_FCHDIR = 50,
  SYS_OPENAT = 56,
  SYS_WRITE = 64,
  SYS_READLINKAT = 78,
  SYS_EXIT_GROUP = 94,
  SYS_EXECVE = 221,
  SYS_MMAP = 222
};

static long syscall6(long number, long a, long b, long c, long d, long e, long f) {
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

__asm__(
    ".text\n"
    ".globl _start\n"
    ".type _start, %function\n"
    "_start:\n"
    "  mov x29, #0\n"
    "  mov x30, #0\n"
    "  mov x0, sp\n"
    "  bl launcher_main\n");

#else
#error "aotrun's launcher knows x86-64 and aarch64"
#endif

enum { AT_FDCWD = -100, O_PATH_CLOEXEC = 012000000, F_OK = 0 };
enum { ENOENT = 2, ENOEXEC = 8, EAGAIN = 11, ENOMEM = 12, EACCES = 13, ENFILE = 23, EMFILE = 24 };

static long sys_write(int fd, const char* text, size_t size) {
  return syscall6(SYS_WRITE, fd, (long)text, (long)size, 0, 0, 0);
}

__attribute__((noreturn)) static void sys_exit(int status) {
  for (;;) syscall6(SYS_EXIT_GROUP, status, 0, 0, 0, 0, 0);
}

static long sys_open_path(const char* path) {
  return syscall6(SYS_OPENAT, AT_FDCWD, (long)path, O_PATH_CLOEXEC, 0, 0, 0);
}

static long sys_readlink(const char* path, char* target, size_t size) {
  return syscall6(SYS_READLINKAT, AT_FDCWD, (long)path, (long)target, (long)size, 0, 0);
}

static long sys_access(const char* path) { return syscall6(SYS_FACCESSAT, AT_FDCWD, (long)path, F_OK, 0, 0, 0); }

static long sys_getcwd(char* path, size_t size) { return syscall6(SYS_GETCWD, (long)path, (long)size, 0, 0, 0, 0); }

static long sys_chdir(const char* path) { return syscall6(SYS_CHDIR, (long)path, 0, 0, 0, 0, 0); }

static long sys_fchdir(long fd) { return syscall6(SYS_FCHDIR, fd, 0, 0, 0, 0, 0); }

static long sys_execve(const char* path, const char** argv, char** envp) {
  return syscall6(SYS_EXECVE, (long)path, (long)argv, (long)envp, 0, 0, 0);
}

/* Zeroed memory of this process, or NULL. */
static void* sys_allocate(size_t size) {
  enum { PROT_READ_WRITE = 3, MAP_PRIVATE_ANONYMOUS = 0x22 };
  long address = syscall6(SYS_MMAP, 0, (long)size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  return address < 0 && address > -4096 ? NULL : (void*)address;
}

#endif /* AOTRUN_SYSCALLS_H */
