"""Both families in small: every part, key and file of the full size, in narrow networks."""

from dataclasses import replace

from scripts.architectures import ARCHITECTURES, Architecture
from tests.tiny import TINY


def small(family: str) -> Architecture:
    """The tiny networks of a family with its published vocabulary and scheduler."""
    tiny, published = TINY[family], ARCHITECTURES[family]
    names = ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")
    words = {name: published.text_encoder[name] for name in names} | {"max_position_embeddings": 77}
    parts = {part: getattr(tiny, part) for part in tiny.parts}
    texts = {part: config | words for part, config in parts.items() if part.startswith("text")}
    return replace(published, **parts | texts)
