"""aotpack: pack an AOTInductor model with exactly what it needs into a folder that runs on a bare Linux machine."""

__version__ = "0.1.0"
