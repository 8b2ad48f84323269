"""Packages for tests: exported once, in workers that need not import torch."""
