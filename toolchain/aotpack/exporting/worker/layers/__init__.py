"""Layers with weights: in which precision they are asked for and computed, how their weights lie."""
