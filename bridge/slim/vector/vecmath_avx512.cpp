// Vector functions for registers of 512 bits.
#define AOT_SLIM_LANES 8
#define AOT_SLIM_FLOATS __m512
#define AOT_SLIM_DOUBLES __m512d
#define AOT_SLIM_TWO_FLOATS Sleef___m512_2
#define AOT_SLIM_TWO_DOUBLES Sleef___m512d_2
#define AOT_SLIM_WIDTH_f 16
#define AOT_SLIM_WIDTH_d 8
#define AOT_SLIM_JOIN_(name, type, width, suffix) Slimf_##name##type##width##suffix
#define AOT_SLIM_JOIN(name, type, width, suffix) AOT_SLIM_JOIN_(name, type, width, suffix)
#define AOT_SLIM_NAME(name, suffix, type) AOT_SLIM_JOIN(name, type, AOT_SLIM_WIDTH_##type, suffix)

#include "vector/vecmath.h"
