"""`--option`: what is let through, and what is said of the rest."""

from __future__ import annotations

import pytest

from aotpack.errors import UsageError
from aotpack.exporting.options import ALLOWED, check_options, parse_options


def test_values_have_the_types_of_their_options() -> None:
    texts = ["epilogue_fusion=off", "max_fusion_size=16", "cpp.enable_floating_point_contract_flag=fast"]
    assert parse_options(texts) == {
        "epilogue_fusion": False,
        "max_fusion_size": 16,
        "cpp.enable_floating_point_contract_flag": "fast",
    }
    assert check_options({"inplace_buffers": True, "max_fusion_size": 8}) == {
        "inplace_buffers": True,
        "max_fusion_size": 8,
    }


@pytest.mark.parametrize(
    ("text", "meaning", "fix"),
    [
        ("aot_inductor.package=false", "what a package is made of", "leave it out"),
        ("freezing=true", "--constants", "--constants updatable"),
        ("cpp.simdlen=256", "--cpu-isa", "--cpu-isa"),
        ("cpp.threads=1", "the target's business", "--threads"),
        ("max_autotune=true", "two exports differ", "leave it out"),
        ("use_fast_math=true", "eager PyTorch", "leave it out"),
        ("post_grad_custom_post_pass=x", "a pass is code", "leave it out"),
        ("epilog_fusion=true", "runs without Python", "did you mean epilogue_fusion?"),
        ("epilogue_fusion=maybe", ALLOWED["epilogue_fusion"][1], "epilogue_fusion=true"),
        ("max_fusion_size=many", ALLOWED["max_fusion_size"][1], "max_fusion_size=4"),
        ("epilogue_fusion", "KEY=VALUE", "epilogue_fusion="),
    ],
)
def test_what_is_refused_says_why_and_what_to_type(text: str, meaning: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options([text])
    assert text in caught.value.what
    assert meaning in caught.value.meaning
    assert fix in caught.value.fix
