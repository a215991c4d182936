"""The edge detector on pictures whose edges are known, and maps that are drawn once."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from lightning_modules.styleshot.detectors import Bytes, EdgeDetector, MapCache


def disk(size: int, radius: float, inside: Any = 255, outside: Any = 0) -> Image.Image:
    """An antialiased disk around the middle (pixel centres are at whole numbers)."""
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    cover = np.clip(radius - np.hypot(rows, columns) + 0.5, 0, 1)[..., None]
    pixels = cover * np.asarray(inside) + (1 - cover) * np.asarray(outside)
    return Image.fromarray(np.broadcast_to(pixels, (size, size, 3)).round().astype(np.uint8))


def edges_of(image: Image.Image, **settings: Any) -> np.ndarray:
    """The map's white pixels, after checking that there are no others but black ones."""
    drawn = EdgeDetector(**settings)(image)
    assert drawn.mode == "RGB" and drawn.size == image.size
    values = np.asarray(drawn)
    assert set(np.unique(values)) <= {0, 255} and (values == values[..., :1]).all()
    return values[..., 0] == 255


@pytest.mark.parametrize("size", [64, 200, 512])
@pytest.mark.parametrize("colours", [(255, 0), ((200, 40, 40), (40, 40, 200)), (150, 128)])
def test_the_edge_of_a_disk_is_its_circle(size: int, colours: tuple[Any, Any]) -> None:
    radius = 0.31 * size
    edges = edges_of(disk(size, radius, *colours))
    rows, columns = np.nonzero(edges) - np.array((size - 1) / 2)
    assert np.abs(np.hypot(rows, columns) - radius).max() < 1.5
    # Closed: an edge in every direction; thin: no more pixels than on a line that never steps diagonally.
    angles = np.sort(np.arctan2(rows, columns))
    assert np.diff(angles, append=angles[0] + 2 * np.pi).max() < 2.5 / radius
    assert len(rows) < 8 * radius
    _, lines = ndimage.label(edges, np.ones((3, 3)))
    assert lines == 1


def test_edges_agree_with_sobel_on_a_picture_of_many_steps() -> None:
    generator = np.random.default_rng(0)
    blocks = generator.integers(0, 256, (8, 8, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
    edges = edges_of(Image.fromarray(blocks))
    channels = blocks.astype(float).transpose(2, 0, 1)
    steep = np.max([np.hypot(ndimage.sobel(one, 0), ndimage.sobel(one, 1)) for one in channels], axis=0)
    weak, sure = (steep > 4 * 255 * contrast for contrast in (0.08, 0.3))  # Sobel's answer to contrast c is 4 c
    assert not (edges & ~ndimage.binary_dilation(weak)).any()
    assert (sure & ~ndimage.binary_dilation(edges, np.ones((3, 3)))).sum() <= 0.01 * sure.sum()


def test_a_step_between_pixels_is_one_line() -> None:
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[:, 30:] = 255
    edges = edges_of(Image.fromarray(pixels))
    assert (edges.sum(axis=1) == 1).all() and edges[:, 29:31].any(axis=1).all()


@pytest.mark.parametrize("value", [0, 17, 255])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (50, 40)])
def test_a_plain_picture_has_no_edges(value: int, size: tuple[int, int]) -> None:
    assert not edges_of(Image.new("RGB", size, (value, 0, value))).any()


def test_faint_noise_and_faint_steps_are_no_edges_but_sure_ones_are() -> None:
    noise = np.random.default_rng(0).normal(128, 3, (64, 64, 1)).repeat(3, 2)
    assert not edges_of(Image.fromarray(noise.astype(np.uint8))).any()
    assert not edges_of(disk(64, 20, 137, 128)).any()  # contrast 0.035
    assert edges_of(disk(64, 20, 137, 128), least_contrast=0.02).any()
    # A step of 0.3 beside one of 1, which alone Otsu would keep.
    both = np.concatenate([np.asarray(disk(64, 20, 76, 0)), np.asarray(disk(64, 20))], axis=1)
    assert edges_of(Image.fromarray(both))[:, :64].any()


def test_edges_do_not_depend_on_the_resolution() -> None:
    small, large = disk(128, 40), disk(1024, 320)
    blocks = edges_of(large).reshape(128, 8, 128, 8).any(axis=(1, 3))
    assert (edges_of(small) & ~ndimage.binary_dilation(blocks, np.ones((3, 3)))).sum() == 0
    assert (blocks & ~ndimage.binary_dilation(edges_of(small), np.ones((3, 3)))).sum() == 0


def test_a_faint_line_is_followed_from_where_a_sure_one_touches_it() -> None:
    ramp = np.linspace(0.3, 0.12, 96)  # of the contrast, along the line
    pixels = np.zeros((96, 160))
    pixels[:, 80:] = ramp[:, None]
    assert edges_of(as_image(pixels), least_contrast=0.2)[5:-5, 79:81].any(axis=1).all()
    assert not edges_of(as_image(np.where(pixels > 0, 0.12, 0)), least_contrast=0.2).any()


def as_image(values: np.ndarray) -> Image.Image:
    return Image.fromarray((255 * values[..., None].repeat(3, 2)).astype(np.uint8))


def test_dilation_grows_lines_to_each_side() -> None:
    thin = edges_of(disk(64, 20))
    expected = ndimage.binary_dilation(thin, np.ones((3, 3)), iterations=2)
    assert (edges_of(disk(64, 20), dilation=2) == expected).all()


def test_the_map_is_the_same_each_time_and_of_any_mode() -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 45), dtype=np.uint8))
    assert (edges_of(image) == edges_of(image)).all()
    assert (edges_of(image) == edges_of(image.convert("RGB"))).all()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"blur": -0.1}, "`blur` must be a share of the picture's short side, 0 or more; got -0.1."),
        ({"least_contrast": 0.0}, "`least_contrast` must be above 0 and not above `sure_contrast`; got 0.0 and 0.25."),
        ({"least_contrast": 0.5}, "`least_contrast` must be above 0 and not above `sure_contrast`; got 0.5 and 0.25."),
        ({"dilation": -1}, "`dilation` must be a number of pixels, 0 or more; got -1."),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        EdgeDetector(**settings)


class Counting(EdgeDetector):
    """Counts the maps that it draws."""

    drawn = 0

    def lines(self, pixels: Bytes) -> Bytes:
        self.drawn += 1
        return super().lines(pixels)


def picture(seed: int = 0, size: tuple[int, int] = (24, 20)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_map_is_drawn_once(on_disk: bool, tmp_path: Path) -> None:
    detector = Counting()
    cache = MapCache(detector, str(tmp_path / "maps") if on_disk else None)
    first, again, other = cache(picture()), cache(picture()), cache(picture(1))
    assert detector.drawn == 2
    assert first.mode == again.mode == "RGB" and first.tobytes() == again.tobytes() != other.tobytes()
    assert first.tobytes() == EdgeDetector()(picture()).tobytes()
    first.paste((1, 2, 3), (0, 0, 24, 20))
    assert cache(picture()).tobytes() == again.tobytes()  # nobody else's changes are seen


def test_the_folder_serves_later_runs(tmp_path: Path) -> None:
    first = MapCache(Counting(), str(tmp_path))(picture())
    later = Counting()
    assert MapCache(later, str(tmp_path))(picture()).tobytes() == first.tobytes() and later.drawn == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"{MapCache(later).key(picture())}.png"]


def test_settings_size_and_pixels_make_the_name() -> None:
    cache = MapCache(EdgeDetector())
    assert cache.key(picture()).startswith("edges-")
    assert cache.key(picture()) == MapCache(EdgeDetector()).key(picture())
    turned = Image.frombytes("RGB", (20, 24), picture().tobytes())
    others = [MapCache(EdgeDetector(dilation=1)).key(picture()), cache.key(picture(1)), cache.key(turned)]
    assert len({cache.key(picture()), *others}) == 4


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_broken_file_is_drawn_anew(share: float, tmp_path: Path) -> None:
    detector = Counting()
    cache = MapCache(detector, str(tmp_path))
    first = cache(picture())
    path = tmp_path / f"{cache.key(picture())}.png"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert cache(picture()).tobytes() == first.tobytes() and detector.drawn == 2
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write `.*edges-.*png`: File exists. Free some space or choose"):
        MapCache(EdgeDetector(), str(tmp_path / "file"))(picture())


def test_no_half_written_file_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("datamodules.files.os.replace", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        MapCache(EdgeDetector(), str(tmp_path))(picture())
    assert error.value.errno == 28 and list(tmp_path.iterdir()) == []
