"""ELF files: reading their facts, and changing a copy of one."""
