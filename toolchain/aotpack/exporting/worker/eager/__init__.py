"""The module as Python runs it, before there is a graph."""
