/* SPDX-License-Identifier: Apache-2.0
 *
 * The process entry point, for x86-64 and aarch64; one file of a program includes it.
 */
#ifndef AOTRUN_ENTRY_H
#define AOTRUN_ENTRY_H

#if defined(__x86_64__)

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

__asm__(
    ".text\n"
    ".globl _start\n"
    ".type _start, %function\n"
    "_start:\n"
    "  mov x29, #0\n"
    "  mov x30, #0\n"
    "  mov x0, sp\n"
    "  bl launcher_main\n");

#endif

#endif /* AOTRUN_ENTRY_H */
