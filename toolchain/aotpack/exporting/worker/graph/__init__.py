"""What is exported: the graph, its signature, and the sizes that it serves."""
