"""Exports an example as PyTorch's tutorial for AOTInductor does: `export_plain.py FILE.py MODEL.pt2`."""

import runpy
import sys

import torch

source, target = sys.argv[1:]
module, example, *dynamic_shapes = runpy.run_path(source)["model"]()
with torch.no_grad():
    program = torch.export.export(module, example, dynamic_shapes=dynamic_shapes[0] if dynamic_shapes else None)
    torch._inductor.aoti_compile_and_package(program, package_path=target)
