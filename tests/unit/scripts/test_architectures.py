"""The configurations give the networks that were published, counted without weights."""

import pytest
import torch

from scripts.architectures import ARCHITECTURES

# As the published weights have them.
COUNTS = {
    ("sd15", "unet"): 859_520_964,
    ("sd15", "vae"): 83_653_863,
    ("sd15", "text_encoder"): 123_060_480,
    ("sd15", "image_encoder"): 632_076_800,
    ("sd15", "text_tower"): 354_032_640,
    ("sdxl", "unet"): 2_567_463_684,
    ("sdxl", "vae"): 83_653_863,
    ("sdxl", "text_encoder"): 123_060_480,
    ("sdxl", "text_encoder_2"): 694_659_840,
    ("sdxl", "image_encoder"): 1_844_907_264,
}


@pytest.mark.parametrize(("family", "part"), COUNTS)
def test_parameters_are_as_many_as_published(family: str, part: str) -> None:
    with torch.device("meta"):
        assert ARCHITECTURES[family].build(part).num_parameters() == COUNTS[family, part]


def test_no_part_is_left_out() -> None:
    assert {(family, part) for family, made in ARCHITECTURES.items() for part in made.parts} == set(COUNTS)


def test_cross_attention_lies_where_the_published_adapters_have_their_weights() -> None:
    with torch.device("meta"):
        unets = {family: made.build("unet") for family, made in ARCHITECTURES.items()}
    layers = {family: [name for name in unet.attn_processors if "attn2" in name] for family, unet in unets.items()}
    assert {family: len(names) for family, names in layers.items()} == {"sd15": 16, "sdxl": 70}
    style = [2 * place + 1 for place, name in enumerate(layers["sdxl"]) if name.startswith("up_blocks.0.attentions.1")]
    assert style == list(range(69, 88, 2))
    layout = [2 * i + 1 for i, name in enumerate(layers["sdxl"]) if name.startswith("down_blocks.2.attentions.1")]
    assert layout == list(range(29, 48, 2))
