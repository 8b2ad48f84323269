/* NumPy's .npy files: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef NPY_H
#define NPY_H

#include <aot_bridge.h>

enum { NPY_MAX_RANK = 16 };

/* An array in C order. Free with npy_free. */
typedef struct npy_array {
  void* data;
  aot_dtype dtype;
  int32_t ndim;
  int64_t shape[NPY_MAX_RANK];
} npy_array;

/* Reads a file. Returns AOT_USAGE, with three lines on stderr, when it cannot be used. */
aot_status npy_load(const char* path, npy_array* array);

void npy_free(npy_array* array);

/* As a model's input; points into the array. */
aot_view npy_view(npy_array* array);

#endif
