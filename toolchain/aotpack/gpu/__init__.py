"""Formats and names of device code."""
