"""Formats that the doctor reads."""
