"""Bundles for tests: made by hand or sanitized, and clients of them in C, ctypes and HTTP."""
