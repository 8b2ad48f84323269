"""The larger models of the benchmarks, in plain torch with random weights."""

import torch
from torch import nn
from torch.nn import functional


class Layer(nn.Module):
    """A layer of BERT: attention, then two linear layers, each added to its input and normalised."""

    def __init__(self, size, heads, inner):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.mixed = (nn.Linear(size, size) for _ in range(4))
        self.wide, self.narrow = nn.Linear(size, inner), nn.Linear(inner, size)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))

    def forward(self, x):
        def split(y):
            return y.view(*y.shape[:2], self.heads, -1).transpose(1, 2)

        y = functional.scaled_dot_product_attention(split(self.query(x)), split(self.key(x)), split(self.value(x)))
        x = self.norms[0](x + self.mixed(y.transpose(1, 2).flatten(2)))
        return self.norms[1](x + self.narrow(functional.gelu(self.wide(x))))


class Bert(nn.Module):
    """BERT's encoder."""

    def __init__(self, layers=6, size=768, heads=12, vocabulary=30522, longest=512):
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, size), nn.Embedding(longest, size)
        self.norm = nn.LayerNorm(size)
        self.layers = nn.Sequential(*(Layer(size, heads, 4 * size) for _ in range(layers)))

    def forward(self, words):
        places = torch.arange(words.shape[1], device=words.device)
        return self.layers(self.norm(self.words(words) + self.places(places)))


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions."""

    def __init__(self, inputs, inner, stride):
        super().__init__()
        outputs = 4 * inner
        kernels = ((inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1))
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, k, s, k // 2, bias=False) for i, o, k, s in kernels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _, _ in kernels)
        self.shortcut = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            y = norm(convolution(functional.relu(y) if number else y))
        return functional.relu(y + self.shortcut(x))


class Filters(nn.Module):
    """Convolutions of many channels on a picture of 4 x 4, whose rows are its input."""

    def __init__(self):
        super().__init__()
        layers = [module for _ in range(6) for module in (nn.Conv2d(1024, 1024, 3, padding=1), nn.ReLU())]
        layers += [nn.Conv2d(1024, 4096, 1), nn.ReLU()]
        layers += [module for _ in range(4) for module in (nn.Conv2d(4096, 4096, 1), nn.ReLU())]
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x.reshape(1, 1024, 4, 4)).mean((2, 3))


class ResNet50(nn.Module):
    """ResNet-50 for 1000 classes."""

    def __init__(self):
        super().__init__()
        blocks, inputs = [], 64
        for inner, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for number in range(count):
                blocks.append(Bottleneck(inputs, inner, 1 if number else stride))
                inputs = 4 * inner
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.blocks = nn.Sequential(*blocks)
        self.scores = nn.Linear(inputs, 1000)

    def forward(self, x):
        return self.scores(self.blocks(self.stem(x)).mean((2, 3)))


def bert():
    """6 layers x 768, a sentence of 128 words."""
    torch.manual_seed(0)
    return Bert().eval(), (torch.randint(0, 30522, (1, 128)),)


def bert_bfloat16():
    """The same in bfloat16."""
    module, inputs = bert()
    return module.bfloat16(), inputs


def mlp_bfloat16():
    """64-128-64-32, 32 rows, in bfloat16: small products, which are generated code."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.GELU(), nn.Linear(64, 32))
    return layers.eval().bfloat16(), (torch.randn(32, 64, dtype=torch.bfloat16),)


def resnet50():
    """One image of 224 x 224."""
    torch.manual_seed(0)
    return ResNet50().eval(), (torch.randn(1, 3, 224, 224),)


def wide():
    """512 MB of weights, which oneDNN packs, and little work."""
    torch.manual_seed(0)
    layers = (module for _ in range(8) for module in (nn.Linear(4000, 4000), nn.ReLU()))
    return nn.Sequential(*layers).eval(), (torch.randn(16, 4000),)


def filters():
    """510 MB of weights of convolutions, 3 x 3 and 1 x 1."""
    torch.manual_seed(0)
    return Filters().eval(), (torch.randn(16, 1024),)


class Halves(nn.Module):
    """Layers in bfloat16 of an input in float32."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers.bfloat16()

    def forward(self, x):
        return self.layers(x.bfloat16()).float()


class Bytes(nn.Module):
    """A linear layer of int8, with the ops of PyTorch's PT2E quantisation."""

    def __init__(self, size):
        super().__init__()
        weight = torch.randn(size, size) / size**0.5
        self.register_buffer("scales", weight.abs().amax(1) / 127)
        self.register_buffer("zeros", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("weight", (weight / self.scales[:, None]).round().to(torch.int8))

    def forward(self, x):
        ops = torch.ops.quantized_decomposed
        how = (0.03, 64, 0, 255, torch.uint8)
        x = ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *how), *how)
        weight = ops.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, -127, 127, torch.int8)
        return functional.linear(x, weight)


def wide_bfloat16():
    """256 MB of weights in bfloat16."""
    module, inputs = wide()
    return Halves(module).eval(), inputs


def wide_int8():
    """128 MB of weights in int8."""
    import torch.ao.quantization.fx._decomposed

    torch.manual_seed(0)
    layers = (module for _ in range(8) for module in (Bytes(4000), nn.ReLU()))
    return nn.Sequential(*layers).eval(), (torch.randn(16, 4000),)


def large():
    """5 GB of weights."""
    torch.manual_seed(0)
    layers = (module for _ in range(78) for module in (nn.Linear(4000, 4000), nn.ReLU()))
    return nn.Sequential(*layers).eval(), (torch.randn(16, 4000),)
