"""python3 use.py BUNDLE SENTENCE SENTENCE...: how close the first sentence is to each other one, -1 to 1.

Needs the package tokenizers; its vocabulary travels in the bundle.
"""

import sys
from pathlib import Path

from tokenizers import Tokenizer


def embeddings(model, sentences):
    """An embedding for each sentence, in one call: shorter ones are filled up, and the mask says where."""
    tokenizer = Tokenizer.from_str(model.asset("tokenizer.json").decode())
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(sentences)
    return model([each.ids for each in encoded], [each.attention_mask for each in encoded]).tolist()


def main():
    bundle, *sentences = sys.argv[1:]
    sys.path.insert(0, str(Path(bundle) / "runner"))
    import aotrun

    first, *others = embeddings(aotrun.load(bundle), sentences)
    for sentence, other in zip(sentences[1:], others):  # noqa: B905  (for any Python from 3.8 on)
        print(f"{sum(a * b for a, b in zip(first, other)):.3f}  {sentence}")  # noqa: B905


if __name__ == "__main__":
    main()
