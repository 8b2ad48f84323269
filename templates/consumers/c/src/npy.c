#include "npy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static aot_status refuse(const char* path, const char* why) {
  fprintf(stderr, "error: %s: %s\n", path, why);
  fputs("an input is a little-endian array in C order, saved by numpy.save\n", stderr);
  fputs("save it with numpy.save(path, numpy.ascontiguousarray(x))\n", stderr);
  return AOT_USAGE;
}

/* What follows 'KEY': in the header, a Python dict such as
 * {'descr': '<f4', 'fortran_order': False, 'shape': (8, 64), }, or NULL. */
static const char* value_of(const char* header, const char* key) {
  const char* at = strstr(header, key);
  return at == NULL ? NULL : at + strlen(key);
}

/* Fills in dtype, ndim and shape. Returns what is wrong, or NULL. */
static const char* parse_header(const char* header, npy_array* array) {
  static const char kinds[] = "iufcb";
  static const uint8_t codes[] = {AOT_INT, AOT_UINT, AOT_FLOAT, AOT_COMPLEX, AOT_BOOL};
  const char* descr = value_of(header, "'descr': '"); /* <f4 */
  const char* order = value_of(header, "'fortran_order': ");
  const char* shape = value_of(header, "'shape': (");
  if (descr == NULL || order == NULL || shape == NULL) return "its header is incomplete";
  if (strncmp(order, "False", 5) != 0) return "it is in Fortran order";

  const char* kind = descr[0] == '\0' || descr[1] == '\0' ? NULL : strchr(kinds, descr[1]);
  const long item_size = kind == NULL ? 0 : strtol(descr + 2, NULL, 10);
  if (descr[0] == '>' || item_size < 1 || item_size > 16) return "its elements are of a type that models do not take";
  array->dtype = (aot_dtype){codes[kind - kinds], (uint8_t)(item_size * 8), 1};

  array->ndim = 0;
  while (*shape != ')' && *shape != '\0') {
    char* end;
    const long long size = strtoll(shape, &end, 10);
    if (end == shape) { /* a comma or a space */
      ++shape;
      continue;
    }
    if (array->ndim == NPY_MAX_RANK) return "it has more than 16 dimensions";
    array->shape[array->ndim++] = size;
    shape = end;
  }
  return NULL;
}

static aot_status read_array(const char* path, FILE* file, npy_array* array) {
  unsigned char prefix[12] = {0};
  if (fread(prefix, 1, 10, file) != 10 || memcmp(prefix, "\x93NUMPY", 6) != 0) {
    return refuse(path, "it is not a .npy file");
  }
  size_t length = prefix[8] + 256U * prefix[9];
  if (prefix[6] > 1) { /* version 2 and later have two more bytes of length */
    if (fread(prefix + 10, 1, 2, file) != 2) return refuse(path, "it is truncated");
    length += 65536U * prefix[10] + 16777216U * prefix[11];
  }

  char header[4096] = "";
  if (length >= sizeof header) return refuse(path, "its header is too long");
  if (fread(header, 1, length, file) != length) return refuse(path, "it is truncated");
  const char* wrong = parse_header(header, array);
  if (wrong != NULL) return refuse(path, wrong);

  size_t bytes = array->dtype.bits / 8;
  for (int32_t axis = 0; axis < array->ndim; ++axis) {
    if (__builtin_mul_overflow(bytes, (size_t)array->shape[axis], &bytes)) return refuse(path, "it is too large");
  }
  array->data = malloc(bytes > 0 ? bytes : 1);
  if (array->data == NULL) return refuse(path, "it is too large");
  if (fread(array->data, 1, bytes, file) != bytes) return refuse(path, "it is truncated");
  return AOT_OK;
}

aot_status npy_load(const char* path, npy_array* array) {
  *array = (npy_array){0};
  FILE* file = fopen(path, "rb");
  if (file == NULL) {
    fprintf(stderr, "error: %s: %s\nan input cannot be read\ncheck the path\n", path, strerror(errno));
    return AOT_USAGE;
  }
  const aot_status status = read_array(path, file, array);
  fclose(file);
  if (status != AOT_OK) npy_free(array);
  return status;
}

void npy_free(npy_array* array) {
  free(array->data);
  array->data = NULL;
}

aot_view npy_view(npy_array* array) {
  return (aot_view){array->data, {AOT_DEVICE_CPU, 0}, array->ndim, array->dtype, array->shape, NULL, 0};
}
