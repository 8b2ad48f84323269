"""Proving a bundle."""
