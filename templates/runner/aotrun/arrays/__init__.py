"""Arrays in memory: types of elements, strides, conversions."""
