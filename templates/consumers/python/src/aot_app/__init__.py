"""Runs a PyTorch model, compiled ahead of time, from an aotpack bundle: no torch, no compiler."""

from aot_app.predictor import Predictor

__all__ = ["Predictor"]
