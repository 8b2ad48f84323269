"""Modules for tests, in files of functions that each give one and its inputs. They run in a backend's environment."""
