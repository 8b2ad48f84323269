"""What a notebook does with a module that exists nowhere else; prints what it found as JSON."""

import inspect
import json
import linecache
import sys

import torch
from torch._inductor import cpu_vec_isa, select_algorithm  # noqa: F401  (which imports the next one in good order)
from torch._inductor.codegen import cpp_gemm_template

import aotpack

CELL = '''
class Scores(torch.nn.Module):
    """Four scores of eight features; counts its calls."""

    def __init__(self):
        super().__init__()
        self.scores = torch.nn.Linear(8, 4)
        self.drop = torch.nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return torch.relu(self.drop(self.scores(x))) + self.calls


class Branching(torch.nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x
'''
# As IPython does it: the text of a cell under a name of its own.
linecache.cache["<cell 7>"] = (len(CELL), None, CELL.splitlines(keepends=True), "<cell 7>")
exec(compile(CELL, "<cell 7>", "exec"))  # noqa: S102

torch.manual_seed(1)
module = Scores()  # noqa: F821
x = torch.randn(3, 8)
shapes = ({0: torch.export.Dim("batch", max=64)},)
random, template = torch.get_rng_state(), cpp_gemm_template.GEMM_TEMPLATE
instructions = list(cpu_vec_isa.valid_vec_isa_list())
events = []
package = aotpack.export(
    module, (x,), dynamic_shapes=shapes, cpu_isa=sys.argv[2], verify=True, output=sys.argv[1], progress=events.append
)
same = {
    "training": module.training,
    "calls": float(module.calls),
    "random": torch.equal(random, torch.get_rng_state()),
    "template": template is cpp_gemm_template.GEMM_TEMPLATE,
    "instructions": list(map(str, instructions)) == list(map(str, cpu_vec_isa.valid_vec_isa_list())),
}
try:
    aotpack.export(Branching(), (x,), progress=False)  # noqa: F821
except aotpack.AotpackError as error:
    refusal = [type(error).__name__, error.what, error.meaning, error.fix]
program = torch.export.export(module.eval(), (x,), dynamic_shapes=shapes)
torch.export.save(program, sys.argv[3])
print(
    json.dumps(
        {
            "same": same,
            "refusal": refusal,
            "inputs": [str(spec.name) for spec in package.inputs],
            "notes": package.notes,
            "phases": [event.text for event in events if event.kind == "begin"],
            "compared": len(package.comparisons),
            "file": inspect.getfile(type(module).forward),
        }
    )
)
