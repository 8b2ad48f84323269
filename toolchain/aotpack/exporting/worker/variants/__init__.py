"""The compiled forms of one program, for CPUs of several kinds, and their common weights."""
