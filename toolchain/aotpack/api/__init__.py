"""What `import aotpack` offers: one function for each thing that aotpack does, which the command line calls as well.

`aotpack` itself imports a module of this wing when one of its names is first asked for.
"""
