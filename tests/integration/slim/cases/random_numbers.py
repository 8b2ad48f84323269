"""Arguments for random numbers. Both libraries start from the same seed, so most must draw the very same numbers."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import FLOATS, INTEGERS, Generator, case


@case("cpu_rand")
@case("cpu_rand_generator")
@case("cpu_randn", tolerance=8)
@case("cpu_randn_generator", tolerance=8)
def sizes(g: Generator) -> dict[str, Any]:
    """Below and above 16 elements, from where torch draws normal numbers in blocks."""
    return {"size": g.shape(), "dtype": g.choice([None, *FLOATS])}


@case("cpu_rand_like")
@case("cpu_rand_like_generator")
@case("cpu_randn_like", tolerance=8)
@case("cpu_randn_like_generator", tolerance=8)
def like(g: Generator) -> dict[str, Any]:
    """Contiguous and other memory, which is filled in its order."""
    return {"self": g.tensor(FLOATS), "dtype": g.choice([None, *FLOATS])}


@case("cpu_uniform")
def uniform(g: Generator) -> dict[str, Any]:
    """Some interval; now and then an empty or an inverted one."""
    low = g.choice([-1.0, 0.0, 2.5])
    return {"self": g.tensor(FLOATS), "from": low, "to": low + g.choice([0.0, 1.0, 3.0, -1.0])}


@case("cpu_normal_functional", tolerance=8)
def normal(g: Generator) -> dict[str, Any]:
    """Some mean and deviation."""
    return {"self": g.tensor(FLOATS), "mean": g.choice([0.0, 2.0]), "std": g.choice([1.0, 0.5, 0.0])}


INT = (*INTEGERS, torch.int64, torch.int32)


def bounds(g: Generator) -> dict[str, Any]:
    """Narrow enough for every dtype, or as wide as int64."""
    if g.chance(0.3):
        return {"low": -(2**63), "high": 2**63 - 1}
    low = g.integer(0, 20)
    return {"low": low, "high": low + g.integer(0 if g.chance(0.1) else 1, 100)}


@case("cpu_randint")
@case("cpu_randint_generator")
def randint(g: Generator) -> dict[str, Any]:
    """From zero; few numbers or so many that 64 bits are drawn for each."""
    wide = g.chance(0.3)
    return {
        "high": 2**40 if wide else g.integer(1, 100),
        "size": g.shape(),
        "dtype": torch.int64 if wide else g.choice([None, *INT]),
    }


@case("cpu_randint_low")
def randint_low(g: Generator) -> dict[str, Any]:
    """Between two bounds."""
    ends = bounds(g)
    return {**ends, "size": g.shape(), "dtype": g.choice(INT) if ends["high"] < 200 else None}


@case("cpu_randint_low_out")
def randint_low_out(g: Generator) -> dict[str, Any]:
    """What seeds the random numbers that generated code makes itself."""
    out = g.tensor(torch.int64, expanded=False)
    return {**bounds(g), "out": out, "size": list(out.shape)}


@case("cpu_randint_like")
def randint_like(g: Generator) -> dict[str, Any]:
    """Like integers."""
    return {"self": g.tensor(INT), "high": g.integer(1, 100)}


@case("cpu_randint_like_low_dtype")
def randint_like_low(g: Generator) -> dict[str, Any]:
    """The same between two bounds."""
    low = g.integer(0, 20)
    return {"self": g.tensor(INT), "low": low, "high": low + g.integer(1, 100)}


@case("cpu_randperm")
def randperm(g: Generator) -> dict[str, Any]:
    """Any length."""
    return {"n": g.choice([0, 1, 2, 17, 1000]), "dtype": g.choice([None, torch.int32])}


def same_distribution(arguments: dict[str, Any], got: list[torch.Tensor], expected: list[torch.Tensor]) -> str | None:
    """Dtype and shape, and means within five standard errors of each other."""
    ours, theirs = got[0], expected[0]
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{ours.dtype}{list(ours.shape)}, torch {theirs.dtype}{list(theirs.shape)}"
    if ours.numel() < 1000:
        return None
    a, b = ours.double(), theirs.double()
    error = (2 * b.var() / b.numel()).sqrt() + 1e-9
    if abs(a.mean() - b.mean()) > 5 * error or abs(a.std() - b.std()) > 0.1 * b.std() + 1e-9:
        return f"mean {a.mean():.4f} and deviation {a.std():.4f}, torch {b.mean():.4f} and {b.std():.4f}"
    return None


@case("cpu_bernoulli__float", check=same_distribution)
def bernoulli(g: Generator) -> dict[str, Any]:
    """In place; now and then no probability."""
    return {"self": g.tensor(FLOATS, expanded=False), "p": g.choice([0.0, 0.3, 0.5, 1.0, 1.5])}


@case("cpu_bernoulli__Tensor", check=same_distribution)
def bernoulli_tensor(g: Generator) -> dict[str, Any]:
    """A probability for each element."""
    x = g.tensor(FLOATS, expanded=False)
    return {"self": x, "p": g.arranged(torch.rand(x.shape, generator=g.torch))}


@case("cpu_exponential", check=same_distribution)
def exponential(g: Generator) -> dict[str, Any]:
    """Some rate."""
    return {"self": g.tensor(FLOATS, g.choice([[5000], [3, 2]])), "lambd": g.choice([0.5, 1.0, 3.0])}


def drops(arguments: dict[str, Any], got: list[torch.Tensor], expected: list[torch.Tensor]) -> str | None:
    """What is kept is scaled, the rest is zero, as the mask says."""
    x, out, mask = arguments["self" if "self" in arguments else "input"], got[0], got[1]
    scale = 1.0 if not arguments["train"] else 1 / (1 - arguments["p"])
    if mask.dtype != expected[1].dtype or not torch.allclose(out, x * mask * scale, equal_nan=True):
        return "the output is not the input under the mask"
    return same_distribution(arguments, [mask], [expected[1]])


@case("cpu_native_dropout", check=drops)
def dropout(g: Generator) -> dict[str, Any]:
    """Training and not."""
    x = g.tensor((torch.float32, torch.float64), g.choice([[3, 5], [5000]]), special=False)
    return {"input": x, "p": g.choice([0.0, 0.2, 0.5]), "train": int(g.chance(0.7))}
