"""Names of weights: what is fetched, what the cache serves, and the line that each failure comes to."""

import errno
import shutil
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from lightning_modules import hub, hub_cache
from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.hub import Source, fetch_file, fetch_folder, find_source, load_pretrained
from lightning_modules.hub_cache import files_below, needed_files
from tests.hub import COMMIT, FakeHub

TINY = "owner/tiny"
SHARD = "model-0000"


@pytest.fixture
def fake(tiny_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub with the tiny backbone, and an empty cache."""
    return FakeHub({TINY: Path(tiny_backbone.model)}, tmp_path / "cache", monkeypatch)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_cache.list_repository.cache_clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))


def http(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    response: Any = SimpleNamespace(headers={}, request=None, status_code=status)
    return kind("the hub's words\nmore of them", response=response)


@pytest.mark.parametrize(
    ("names", "variant", "expected"),
    [
        (["config.json", "model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors"], None, "0 1"),
        (["config.json", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "README.md"], None, "0 1"),
        (["model.fp16.safetensors", "model.safetensors", "model.onnx", "config.json"], "fp16", "3 0"),
        (["model.fp16.safetensors", "model.safetensors", "config.json"], None, "2 1"),
        (["model.safetensors", "config.json"], "fp16", "1"),
        ([f"{SHARD}1-of-00002.bin", f"{SHARD}2-of-00002.bin", "model.bin.index.json"], None, "0 1 2"),
        (["model.fp16-00001-of-00001.bin", "model-00001-of-00001.fp16.bin", "model.bin"], "fp16", "1 0"),
        (["diffusion_pytorch_model.non_ema.safetensors", "diffusion_pytorch_model.safetensors"], None, "1"),
        (["merges.txt", "vocab.json", "special_tokens_map.json", "open_clip_config.json", "notes.txt"], None, "0 2 1"),
    ],
)  # fmt: skip
def test_the_needed_files_of_a_folder(names: list[str], variant: str | None, expected: str) -> None:
    assert needed_files(names, True, variant) == [names[int(place)] for place in expected.split()]
    assert not any("model" in name for name in needed_files(names) if "config" not in name)


def test_a_hub_name_gives_the_same_model_from_the_needed_files_alone(fake: FakeHub, tiny_backbone: Backbone) -> None:
    expected, loaded = (
        StableDiffusion.load(tiny_backbone).state_dict(),
        StableDiffusion.load(Backbone(TINY)).state_dict(),
    )
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[key], expected[key]) for key in expected)
    everything = set(files_below(Path(tiny_backbone.model)))
    assert everything - set(fake.fetched) == {"ip_adapter.bin"}
    assert len(fake.fetched) == len(set(fake.fetched))


def test_what_is_cached_is_not_fetched_again(fake: FakeHub) -> None:
    source = Source(False, TINY, None, "unet")
    folder = fetch_folder(source, "model", weights=True)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    fetched = list(fake.fetched)
    assert fetch_folder(source, "model", weights=True) == folder
    assert fetch_file(source.within("config.json"), "model") == folder / "config.json"
    assert fake.fetched == fetched


def test_the_cache_serves_where_the_hub_is_out_of_reach(fake: FakeHub) -> None:
    source = Source(False, TINY, None, "unet")
    folder = fetch_folder(source, "model", weights=True)
    hub_cache.list_repository.cache_clear()
    fake.failure = OfflineModeIsEnabled("offline")
    assert fetch_folder(source, "model", weights=True) == folder
    assert fetch_folder(source._replace(revision=COMMIT), "model", weights=True) == folder
    for lacking in (source._replace(inside="vae"), source._replace(revision="v2"), Source(False, "owner/other")):
        with pytest.raises(ConnectionError, match="the hub cannot be reached for it"):
            fetch_folder(lacking, "model", weights=True)
    fake.failure = AssertionError("the network was asked")  # a branch may stay where the cache has it
    assert fetch_folder(source, "model", weights=True, required=("config.json",), stays=True) == folder


def test_a_commit_that_is_cached_asks_the_network_for_nothing(fake: FakeHub, tiny_backbone: Backbone) -> None:
    folder = Path(shutil.copytree(tiny_backbone.model, fake.cache.parent / "bare"))
    (folder / "image_encoder" / "preprocessor_config.json").unlink()
    fake.repositories[TINY] = folder
    first = StableDiffusion.load(Backbone(TINY, revision=COMMIT)).state_dict()
    hub_cache.list_repository.cache_clear()
    fake.failure = AssertionError("the network was asked")
    again = StableDiffusion.load(Backbone(TINY, revision=COMMIT)).state_dict()
    assert all(torch.equal(again[key], first[key]) for key in first)
    with pytest.raises(AssertionError):
        StableDiffusion.load(Backbone(TINY))


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_commit_that_is_not_wholly_cached_is_completed(fake: FakeHub, lost: str) -> None:
    source, required = Source(False, TINY, COMMIT, "text_tower"), ("config.json", "tokenizer.json")
    folder = fetch_folder(source, "text_tower", weights=True, required=required)
    (folder / lost).unlink()
    assert (fetch_folder(source, "text_tower", weights=True, required=required) / lost).exists()


@pytest.mark.parametrize(
    ("inside", "variant", "message"),
    [
        ("unet", "fp16", "of the variant fp16 it has no weights; there: diffusion_pytorch_model.safetensors"),
        ("scheduler", None, "of the variant None it has no weights; there: no weights at all"),
        ("nothing", None, "no file of a model, tokenizer or processor is there"),
    ],
)
def test_a_repository_without_what_is_asked(fake: FakeHub, inside: str, variant: str | None, message: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"`model`: could not load 'owner/tiny/{inside}' \(hub.*{message}"):
        fetch_folder(Source(False, TINY, None, inside), "model", True, variant)
    assert fake.fetched == []


def test_a_file_that_the_repository_or_the_disk_has_not(fake: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="`ip_adapter`: could not load '.*a.bin'.*no such file"):
        fetch_file(Source(True, str(tmp_path / "a.bin")), "ip_adapter")
    with pytest.raises(FileNotFoundError, match=r"`ip_adapter`: could not load 'owner/tiny/ip.bin'.*no such file"):
        fetch_file(Source(False, TINY, None, "ip.bin"), "ip_adapter")


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (http(RepositoryNotFoundError, 401), FileNotFoundError, "is neither a local path nor a repository on the hub"),
        (HFValidationError("bad"), FileNotFoundError, "is neither a local path nor a repository on the hub"),
        (http(RevisionNotFoundError, 404), FileNotFoundError, "has no revision 'v9' on the hub. Give a commit, tag or"),
        (http(GatedRepoError, 403), PermissionError, "is gated.*at https://huggingface.co/owner/tiny, log in by `hf"),
        (http(HfHubHTTPError, 429), ConnectionError, r"is refused by the hub \(the hub's words\). Try again later"),
        (http(HfHubHTTPError, 503), ConnectionError, r"the hub cannot be reached for it \(the hub's words\)"),
        (OfflineModeIsEnabled("offline"), ConnectionError, r"cannot be reached for it \(offline\).*weights --fetch`"),
        (TimeoutError("slow"), ConnectionError, "cannot be reached"),
        (OSError(errno.ENOSPC, "No space left"), OSError, "cannot be kept in the cache .*No space left.*set HF_HOME"),
    ],
)
def test_each_failure_is_a_line_with_a_way_out(
    fake: FakeHub, failure: Exception, kind: type[Exception], message: str
) -> None:
    fake.failure = failure
    with pytest.raises(kind, match=f"^`model`: 'owner/tiny' .*{message}") as caught:
        fetch_folder(Source(False, TINY, "v9", "unet"), "model", weights=True)
    assert "\n" not in str(caught.value)
    if kind is ConnectionError:
        assert "by `--model.backbone.model PATH`" in str(caught.value)
        with pytest.raises(ConnectionError, match=r"by `--scores.judge.model PATH`"):  # which is none of a backbone
            fetch_folder(Source(False, TINY, "v9", "unet"), "scores.judge.model")


def test_a_failure_of_the_download_is_told_too(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def gated(*_: Any, **__: Any) -> None:
        raise http(GatedRepoError, 401)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", gated)
    with pytest.raises(PermissionError, match="`vae`: 'owner/tiny' is gated.*`--model.backbone.vae PATH`"):
        fetch_folder(Source(False, TINY), "vae")


def test_without_a_network_it_fails_at_once(empty_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the library itself, which would repeat the requests for single files and wait in between."""

    def no_network(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def no_waiting(seconds: float) -> None:
        raise AssertionError(f"waited {seconds} s")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(time, "sleep", no_waiting)
    with pytest.raises(ConnectionError, match=r"^`model`: 'owner/name' is no local path, and the hub cannot be"):
        StableDiffusion.load(Backbone("owner/name"))
    with pytest.raises(ConnectionError, match="^`image_encoder`: 'owner/name' is no local path"):
        fetch_folder(Source(False, "owner/name", "v1", "sub"), "image_encoder", weights=True)


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
    assert Source(True, "folder").within("unet") == Source(True, "folder/unet")
    assert Source(False, "owner/name", "v1", "sub").within("unet") == Source(False, "owner/name", "v1", "sub/unet")


def test_absent_folder_and_miniature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"`text_tower` must be a local path or a hub name .* nothing lies at"):
        find_source(str(tmp_path / "absent"), "text_tower")
    assert hub.MINIATURE.relative_to(Path(__file__).parents[3]) == Path("weights/miniature")
    monkeypatch.setattr(hub, "MINIATURE", tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match='`model` is "miniature", but its weights are not at .*absent'):
        StableDiffusion.load(Backbone())


def test_what_a_loader_cannot_read_names_the_way_out(tmp_path: Path) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError("no config\nand more")

    with pytest.raises(FileNotFoundError, match="`model`: could not load '.*'.*a local folder or file.*: no config$"):
        load_pretrained(fails, Source(True, str(tmp_path)), "model")


def test_a_local_backbone_opens_no_connection(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    StableDiffusion.load(tiny_backbone)
