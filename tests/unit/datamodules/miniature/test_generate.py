"""Drawing icons and writing them to disk."""

from itertools import product

import numpy as np
import pytest
from PIL import Image

from datamodules.miniature.bench_styles import BENCH_STYLES
from datamodules.miniature.generate import draw, write_dataset, write_style_bench
from datamodules.miniature.shapes import SHAPES
from datamodules.miniature.styles import STYLES
from datamodules.vocabulary import TEST_STYLES, TRAIN_STYLES, parse_reference_name

GOLDEN = {
    "natural environment": (77.9, 92.2, 31.2),
    "rainy day": (119.5, 127.9, 118.8),
    "snowy day": (172.4, 171.9, 189.7),
    "3D model": (95.5, 106.2, 119.6),
    "abstract": (144.6, 145.9, 172.4),
    "cyberpunk": (79.4, 50.7, 111.4),
    "oil painting": (96.6, 116.7, 86.8),
    "realism": (173.2, 149.3, 135.1),
    "watercolor": (201.8, 205.1, 220.8),
    "beautiful landscape": (153.2, 116.1, 107.1),
    "lego toy": (199.8, 216.5, 147.0),
    "statue": (78.9, 80.5, 83.5),
    "steampunk": (98.3, 71.0, 42.2),
    "stick figure": (227.2, 229.3, 228.4),
    "tattoo": (209.9, 161.8, 133.4),
    "line art": (223.4, 223.4, 223.4),
    "wool toy": (185.8, 192.5, 191.3),
    "surround with colored smoke": (88.2, 87.7, 94.6),
    "pop art": (108.1, 134.1, 165.9),
    "surround with white smoke": (124.0, 111.0, 114.6),
    "stained glass": (74.3, 66.2, 101.3),
    "blueprint": (52.7, 85.8, 155.7),
    "mosaic": (205.6, 184.9, 151.3),
    "chalkboard": (74.2, 105.3, 89.4),
    "woodcut": (149.5, 138.1, 118.2),
    "paper cut": (168.7, 184.8, 174.5),
    "plain": (210.5, 210.5, 210.5),
}


def pixels(*arguments: object, **options: object) -> np.ndarray:
    return np.asarray(draw(*arguments, **options), dtype=np.int64)


def test_every_named_style_can_be_drawn():
    assert list(STYLES) == [*TRAIN_STYLES, *TEST_STYLES, *BENCH_STYLES, "plain"]


@pytest.mark.parametrize("style", STYLES)
def test_an_icon_depends_on_content_style_and_seed_alone(style):
    first = pixels("horse", style, 3)
    np.random.seed(1)  # the global state must not matter
    assert (pixels("horse", style, 3) == first).all()
    assert (pixels("horse", style, 4) != first).any()
    assert (pixels("dog", style, 3) != first).any()


@pytest.mark.parametrize("style", STYLES)
def test_mean_colours_stay_what_they_were(style):
    content = list(SHAPES)[list(STYLES).index(style) % len(SHAPES)]
    # Pillow's rounding of an edge may change by a pixel, the picture may not
    np.testing.assert_allclose(pixels(content, style, 7).mean(axis=(0, 1)), GOLDEN[style], atol=2)


def test_colour_statistics_tell_styles_apart():
    def signature(content: str, style: str, seed: int) -> np.ndarray:
        picture = pixels(content, style, seed, size=32)
        levels = np.sort(picture.reshape(-1, 3), axis=0)[16::32]
        return np.concatenate([levels.ravel(), np.abs(np.diff(picture, axis=1)).mean((0, 1)) * 8])

    known = np.array([[signature(content, style, 1) for content in ("dog", "truck")] for style in STYLES])
    nearest = [np.abs(known - signature("cat", style, 2)).sum(axis=-1).min(axis=1).argmin() for style in STYLES]
    # wool toys come in every hue, so two examples do not always find a third
    assert np.mean(np.array(nearest) == np.arange(len(STYLES))) >= 0.8


@pytest.mark.parametrize("size", [32, 64, 96])
def test_size_is_a_matter_of_resolution(size):
    for style in STYLES:
        image = draw("rocket", style, 0, size=size)
        assert (image.mode, image.size) == ("RGB", (size, size))
        assert np.abs(np.asarray(image).mean() - pixels("rocket", style, 0).mean()) < 16


def test_files_lie_in_the_published_layout_and_read_back(tmp_path):
    paths = write_dataset(tmp_path, ["cat", "airplane"], ["line art", "3D model"], 2, seed=5)
    names = ["a-cat-in-line-art", "a-cat-in-3D-model", "an-airplane-in-line-art", "an-airplane-in-3D-model"]
    assert [path.stem for path in paths] == [f"{name}_{i}" for name, i in product(names, (0, 1))]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(paths)
    for path in paths:
        content, style = parse_reference_name(path.stem)
        assert path.parent == tmp_path / content / content
        expected = draw(content, style, [5, int(path.stem[-1])])
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (64, 64))
            assert image.tobytes() == expected.tobytes()


def test_a_style_bench_lies_on_disk_like_the_published_one(tmp_path):
    write_style_bench(tmp_path, ["mosaic", "woodcut"], ["cat", "ship", "bird"], 2, ["rocket", "airplane"], seed=5)
    files = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
    assert sorted(files) == [
        "content/A rocket.png",
        "content/An airplane.png",
        "styles/mosaic/cat_0.png",
        "styles/mosaic/ship_1.png",
        "styles/woodcut/bird_1.png",
        "styles/woodcut/ship_0.png",
    ]
    with Image.open(files["styles/woodcut/bird_1.png"]) as image:
        assert image.tobytes() == draw("bird", "woodcut", [5, 1]).tobytes()
    with Image.open(files["content/An airplane.png"]) as image:
        assert image.tobytes() == draw("airplane", "plain", 5).tobytes()


def test_files_that_exist_are_kept_and_only_missing_ones_drawn(tmp_path):
    first, second = write_dataset(tmp_path, ["cat"], ["tattoo"], 2, seed=0)
    first.write_bytes(b"mine")
    content = second.read_bytes()
    second.unlink()
    assert write_dataset(tmp_path, ["cat"], ["tattoo"], 2, seed=0) == [first, second]
    assert first.read_bytes() == b"mine"
    assert second.read_bytes() == content


def test_an_interrupted_write_leaves_no_image(tmp_path, monkeypatch):
    def fail(self: Image.Image, path: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, ["cat"], ["tattoo"], 1, seed=0)
    assert not list(tmp_path.rglob("*.png"))


def test_bad_arguments_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(ValueError, match=r"`style` must be one of natural environment, .*'crayon'.*`STYLES`"):
        draw("cat", "crayon", 0)
    with pytest.raises(ValueError, match=r"`content` must be one of airplane, .*'teapot'"):
        draw("teapot", "tattoo", 0)
    with pytest.raises(ValueError, match=r"`per_style` must be at least 1 .*; got 0"):
        write_dataset(tmp_path, ["cat"], ["tattoo"], 0, seed=0)
