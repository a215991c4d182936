"""Each map is drawn once, under a name that tells image and settings."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_modules.styleshot.content_maps import MapCache
from lightning_modules.styleshot.detectors import Bytes, EdgeDetector


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
