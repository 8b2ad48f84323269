"""Which runtime serves a model: full or slim."""
