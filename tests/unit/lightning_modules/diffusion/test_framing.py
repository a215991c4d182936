import numpy as np
import pytest
from PIL import Image

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.framing import GREY, framed, say_what_is_lost

WIDE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 60, 3), dtype=np.uint8))


def test_a_crop_is_left_to_the_encoders() -> None:
    assert framed(WIDE, "crop") is WIDE


def test_squash_is_pillows_own_resize() -> None:
    assert np.array_equal(framed(WIDE, "squash"), WIDE.resize((512, 512)))


def test_pad_keeps_the_whole_picture_between_margins_and_bounds_its_size() -> None:
    padded = np.asarray(framed(WIDE, "pad"))
    assert np.array_equal(padded[20:40], WIDE)
    assert (padded[:20] == GREY).all()
    assert (padded[40:] == GREY).all()
    assert framed(Image.new("RGB", (5000, 100)), "pad").size == (1024, 1024)


def test_only_what_loses_more_than_a_third_is_named(recwarn: pytest.WarningsRecorder) -> None:
    say_what_is_lost(["a/photo"], [Image.new("RGB", (30, 20))])
    assert not recwarn
    with pytest.warns(UserWarning, match=r"Of 'a/wide' \(60 x 20 pixels\).*reference_fit pad` or `squash`"):
        say_what_is_lost(["a/wide"], [WIDE])


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="`reference_fit` must be one of crop, pad, squash; got 'stretch'"):
        Backbone(reference_fit="stretch")  # type: ignore[arg-type]
