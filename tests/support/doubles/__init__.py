"""Doubles of GPU environments: small compiled libraries that are linked, named and tagged as the vendors' are, around
the real CPU libtorch. They find their data as the vendors' do and compute nothing."""
