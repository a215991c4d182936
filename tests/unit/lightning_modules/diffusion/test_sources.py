"""Names of weights, and the errors of names that lead nowhere."""

import socket
from pathlib import Path
from typing import Any

import pytest

from lightning_modules.diffusion import sources
from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.sources import Source, fetch_file, find_source, load_pretrained
from lightning_modules.diffusion.stable_diffusion import StableDiffusion


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("owner/name", Source(False, "owner/name", "main-revision", "")),
        ("owner/name@abc123", Source(False, "owner/name", "abc123", "")),
        ("h94/IP-Adapter@v1/models/image_encoder", Source(False, "h94/IP-Adapter", "v1", "models/image_encoder")),
        ("owner/na.me/a/b.bin", Source(False, "owner/na.me", "main-revision", "a/b.bin")),
    ],
)
def test_hub_names(name: str, expected: Source) -> None:
    assert find_source(name, "model", "main-revision") == expected


def test_a_folder_comes_before_a_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_source("owner/name", "model", "main") == Source(True, "owner/name")


def test_places_within() -> None:
    assert Source(False, "owner/name", "v1", "sub").within("unet") == Source(False, "owner/name", "v1", "sub/unet")
    assert Source(True, "folder").within("unet") == Source(True, "folder/unet")


def test_neither_path_nor_hub_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`text_tower` must be a local path or a hub name .* nothing lies at"):
        find_source(str(tmp_path / "absent"), "text_tower")


def test_absent_miniature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MINIATURE", tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match='`model` is "miniature", but its weights are not at .*absent'):
        StableDiffusion.load(Backbone())


def test_the_miniature_lies_beside_the_packages() -> None:
    root = Path(__file__).parents[4]
    assert sources.MINIATURE.relative_to(root) == Path("weights/miniature")


def test_what_a_loader_cannot_read_names_the_way_out(tmp_path: Path) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError("no config\nand more")

    with pytest.raises(FileNotFoundError, match="`model`: could not load '.*'.*a local folder or file.*: no config$"):
        load_pretrained(fails, Source(True, str(tmp_path)), "model")


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="`ip_adapter`: could not load '.*a.bin'.*no such file"):
        fetch_file(Source(True, str(tmp_path / "a.bin")), "ip_adapter")


def test_a_local_backbone_opens_no_connection(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    StableDiffusion.load(tiny_backbone)
