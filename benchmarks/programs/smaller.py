"""The larger models of the benchmarks in fewer bits, as their users make them. Needs torchao on PYTHONPATH."""

import contextlib
import logging

import models
import torch

logging.getLogger("torchao").setLevel(logging.ERROR)  # extensions for GPUs do not load


def bert_bfloat16():
    """All of it in bfloat16."""
    module, inputs = models.bert()
    return module.bfloat16(), inputs


def bert_int8():
    """Linear layers in int8, by PT2E."""
    return _static(*models.bert())


def resnet50_int8():
    """Convolutions and the classifier in int8, by PT2E."""
    return _static(*models.resnet50())


def _static(module, inputs):
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    with torch.no_grad(), contextlib.redirect_stdout(None):
        prepared = prepare_pt2e(torch.export.export(module, inputs, strict=True).module(), quantizer)
        prepared(*inputs)
        return convert_pt2e(prepared), inputs
