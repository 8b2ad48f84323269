"""Doubles. Of torches, device code and machines: files that detection reads, and nothing that runs. Of GPU
environments: small compiled libraries that are linked, named and tagged as the vendors' are, around the real CPU
libtorch; they find their data as the vendors' do and compute nothing."""
