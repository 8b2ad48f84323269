"""The checks, one module a group. Importing this registers them all."""

from aotpack_doctor.findings.checks import bundle, host, model, target, toolkit, torch

__all__ = ["bundle", "host", "model", "target", "toolkit", "torch"]
