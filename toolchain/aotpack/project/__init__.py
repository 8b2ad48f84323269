"""A project file: what `aotpack build` makes when nothing else is said."""
