/* SPDX-License-Identifier: Apache-2.0
 *
 * A bundle in one file: this launcher, then everything else (docs/bundle-format.md, "The single file").
 *
 * Code starts from memory: the loader, the interpreter and their libraries become files in memory (memfd), which have
 * the names /proc/self/fd/N. The interpreter reads its modules from the end of the file, which is a zip archive; the
 * runner takes the rest from where it lies. Nothing is written to a disk.
 */
#ifndef AOTRUN_SINGLE_FILE_H
#define AOTRUN_SINGLE_FILE_H

#include "program.h"

/* Starts the bundle behind this executable, or unpacks it. Returns only when there is none. */
void start_single_file(const struct process* process);

#endif /* AOTRUN_SINGLE_FILE_H */
