"""The model of model.py in fewer bits, in each way of docs/precision.md. Needs torchao and tokenizers for the export:

aotpack export smaller.py:int8_dynamic --output sentences-int8.pt2 --verify --against model.py:model
"""

import logging
from pathlib import Path

import torch
from model import model as floats
from torch import nn

logging.getLogger("torchao").setLevel(logging.ERROR)  # its extensions for GPUs do not load

#: What calibration reads: sentences as users might ask for.
CALIBRATION = (
    "A man is playing a guitar on the street.",
    "The stock market fell sharply after the announcement.",
    "How do I reset the password of my account?",
    "Water boils at a lower temperature in the mountains.",
    "She has been learning Spanish for three years.",
    "The train to Edinburgh leaves from platform nine at half past seven.",
    "Two dogs are running across a field of snow.",
    "Scientists have found a new species of frog in the rain forest, no larger than a fingernail.",
    "Please send the invoice before the end of the month.",
    "He poured the milk first, and then the cereal.",
    "The committee could not agree on a date, so the vote was put off until spring.",
    "Is there a vegetarian restaurant near the station?",
    "An engine that is too cold wears out faster.",
    "Yes.",
    "The museum is closed on Mondays and on public holidays.",
    "What is the capital of Australia?",
)


def bfloat16():
    """All layers in bfloat16; the lengths of embeddings are taken in float32."""

    class Halves(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module.bfloat16()

        def forward(self, ids, mask):
            return nn.functional.normalize(self.module(ids, mask).float(), dim=1)

    module, inputs, dynamic_shapes = floats()
    return Halves(module), inputs, dynamic_shapes


def int8_weights():
    """Bytes under float32 activations."""
    from torchao.quantization import Int8WeightOnlyConfig

    return _by_torchao(Int8WeightOnlyConfig())


def int8_dynamic():
    """Bytes times bytes; each row of activations by its own range, as it comes."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    return _by_torchao(Int8DynamicActivationInt8WeightConfig())


def int8_static():
    """Bytes times bytes; activations by the ranges that calibration saw."""
    from tokenizers import Tokenizer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    module, inputs, dynamic_shapes = floats()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    tokenizer = Tokenizer.from_file(str(Path(__file__).parent / "weights" / "tokenizer.json"))
    tokenizer.enable_padding()
    with torch.no_grad():
        graph = torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes, strict=True).module()
        prepared = prepare_pt2e(graph, quantizer)
        encoded = tokenizer.encode_batch(CALIBRATION)
        prepared(torch.tensor([x.ids for x in encoded]), torch.tensor([x.attention_mask for x in encoded]))
        return convert_pt2e(prepared), inputs, dynamic_shapes


def int4_weights():
    """Four bits in groups of 64 under float32 activations."""
    from torchao.prototype.quantization.int4.inference_workflow import PrototypeInt4WeightOnlyConfig

    return _by_torchao(PrototypeInt4WeightOnlyConfig(group_size=64))


def float8_weights():
    """Floats of eight bits under float32 activations."""
    from torchao.quantization import Float8WeightOnlyConfig

    return _by_torchao(Float8WeightOnlyConfig())


def int8_everywhere():
    """Bytes times bytes as in `int8_dynamic`, and the table of words in bytes: half of this model is that table."""
    from torchao.quantization import IntxWeightOnlyConfig, quantize_

    module, inputs, dynamic_shapes = int8_dynamic()
    config = IntxWeightOnlyConfig(weight_dtype=torch.int8)
    quantize_(module, config, filter_fn=lambda layer, _name: isinstance(layer, nn.Embedding))
    return module, inputs, dynamic_shapes


def _by_torchao(config):
    from torchao.quantization import quantize_

    module, inputs, dynamic_shapes = floats()
    quantize_(module, config)
    return module, inputs, dynamic_shapes
