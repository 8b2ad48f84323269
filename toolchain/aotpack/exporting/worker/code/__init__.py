"""What AOTInductor makes of a graph."""
