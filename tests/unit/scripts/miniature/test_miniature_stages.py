"""The pure parts of the stages that train the miniature."""

from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from callbacks.scoring.classifier_judge import Classifier, load_classifier, save_classifier
from datamodules.vocabulary import caption
from scripts.miniature.text_to_image import describe, new_scheduler, noise_loss
from scripts.miniature.tokenizer import MAX_TOKENS, NEGATIVE, make_tokenizer
from scripts.miniature.training import ALL_CONTENTS, ALL_STYLES, Batches, augment, drawn_images, to_unit_range
from tests.float64 import FEW_ROUNDINGS, assert_same


def test_tokenizer_writes_each_word_of_a_caption_as_one_token() -> None:
    tokenizer = make_tokenizer()
    for content in ALL_CONTENTS:
        text = caption(content, "oil painting")
        assert len(tokenizer(text).input_ids) == len(text.split()) + 2


def test_tokenizer_fits_long_prompts_and_survives_the_disk(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    assert len(tokenizer(NEGATIVE).input_ids) <= MAX_TOKENS
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    assert again("A zebra, unheard of").input_ids == tokenizer("A zebra, unheard of").input_ids
    assert again.model_max_length == MAX_TOKENS


def test_end_of_text_is_the_highest_token_which_clip_pools() -> None:
    tokenizer = make_tokenizer()
    assert tokenizer.eos_token_id == max(tokenizer.get_vocab().values()) == tokenizer.pad_token_id


@pytest.mark.parametrize(
    ("chance", "text"),
    [
        (0.0, ""),
        (0.1, "lego toy style"),
        (0.2, "A rocket"),
        (0.44, "rocket"),
        (0.9, "a rocket in lego toy style"),
    ],
)
def test_captions_name_nothing_the_style_the_content_or_both(chance: float, text: str) -> None:
    assert describe("rocket", "lego toy", chance, quality=False) == text
    assert describe("rocket", "lego toy", chance, quality=True).endswith("best quality, high quality")


def test_noise_loss_weighs_as_velocity_prediction_within_bounds() -> None:
    alphas = torch.tensor([0.5, 0.99, 0.01], dtype=torch.float64)  # signal to noise 1, 99 and 1 / 99
    noise = torch.zeros(3, 1, 2, 2)
    expected = (2 + 100 / 99 * 5 / 99 + 10) / 3
    assert float(noise_loss(torch.ones(3, 1, 2, 2), noise, alphas)) == pytest.approx(expected, rel=1e-9)


def test_noise_schedule_is_stable_diffusions() -> None:
    betas = new_scheduler().betas
    assert float(betas[0]) == pytest.approx(0.00085) and float(betas[-1]) == pytest.approx(0.012)
    assert float(betas[500].sqrt()) == pytest.approx((0.00085**0.5 + 0.012**0.5) / 2, rel=1e-2)


def test_batches_depend_on_seed_and_step_alone() -> None:
    batches = Batches(rows=1000, batch_size=8, steps=3, seed=1)
    assert torch.equal(batches[2], Batches(1000, 8, 99, 1)[2])
    assert not torch.equal(batches[2], batches[1]) and not torch.equal(batches[2], Batches(1000, 8, 3, 2)[2])


def test_augmented_images_stay_close_and_repeat_with_the_seed() -> None:
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    once, again = (augment(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert once.shape == images.shape and torch.equal(once, again) and not torch.equal(once, images)
    assert float(once.abs().max()) < 1.6


def test_drawn_images_are_kept_and_labelled(tmp_path: Path) -> None:
    drawn = drawn_images(tmp_path, per_pair=1, seed=7)
    assert drawn.images.shape == (300, 64, 64, 3)
    assert (ALL_CONTENTS[drawn.contents[21]], ALL_STYLES[drawn.styles[21]]) == ("automobile", ALL_STYLES[1])
    written = next(tmp_path.iterdir()).stat().st_mtime_ns
    assert (drawn_images(tmp_path, per_pair=1, seed=7).images == drawn.images).all()
    assert next(tmp_path.iterdir()).stat().st_mtime_ns == written
    unit = to_unit_range(drawn.images[:2])
    assert unit.shape == (2, 3, 64, 64) and -1 <= float(unit.min()) < float(unit.max()) <= 1


def test_classifier_survives_the_disk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = Classifier(len(ALL_CONTENTS), len(ALL_STYLES)).eval()
    save_classifier(classifier, tmp_path, ALL_CONTENTS, ALL_STYLES)
    images = torch.randn(2, 3, 64, 64)
    kept = classifier.half().to(torch.float32)
    assert_same(load_classifier(tmp_path)(images), kept(images), FEW_ROUNDINGS)
