"""FeatureStore: encodes once, from run to run and rank to rank, and never trusts a damaged file."""

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from callbacks.scoring.features import FeatureStore, image_key, text_key

WORDS = ["a", "b", "c", "d", "e"]


class Encoder:
    """Unit features of words, and the batches that were asked of it."""

    def __init__(self, dim: int = 6) -> None:
        self.dim, self.batches = dim, list[list[str]]()

    def __call__(self, words: list[str]) -> Tensor:
        self.batches.append(words)
        return features_of(words, self.dim)


def features_of(words: list[str], dim: int = 6) -> Tensor:
    rows = [torch.randn(dim, generator=torch.Generator().manual_seed(ord(word))) for word in words]
    return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


def ask(store: FeatureStore, words: list[str], encode: Callable[[list[str]], Tensor], batch_size: int = 64) -> Tensor:
    return store(text_key, words, encode, batch_size)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """The one shard of `WORDS` in a store in `tmp_path`."""
    ask(FeatureStore(tmp_path, "judge"), WORDS, Encoder())
    [path] = tmp_path.rglob("*.safetensors")
    return path


@pytest.mark.parametrize("on_disk", [False, True])
def test_unknown_items_alone_are_encoded_in_batches(tmp_path: Path, on_disk: bool) -> None:
    store, encoder = FeatureStore(tmp_path if on_disk else None, "judge"), Encoder()
    assert torch.equal(ask(store, ["a", "b", "a", "c"], encoder, 2), features_of(["a", "b", "a", "c"]))
    assert torch.equal(ask(store, ["c", "d", "a"], encoder, 2), features_of(["c", "d", "a"]))
    assert encoder.batches == [["a", "b"], ["c"], ["d"]]
    assert bool(list(tmp_path.iterdir())) == on_disk


def test_features_are_kept_by_judge(shard: Path, tmp_path: Path) -> None:
    names = ["judge", "owner/CLIP@1", "owner/CLIP@2", "owner-clip@1"]
    for name in names[1:]:
        encoder = Encoder()
        ask(FeatureStore(tmp_path, name), WORDS, encoder)
        assert encoder.batches == [WORDS]
    assert len(list(tmp_path.iterdir())) == len(names)


def test_a_kill_loses_one_batch(tmp_path: Path) -> None:
    def dies(words: list[str]) -> Tensor:
        if "c" in words:
            raise KeyboardInterrupt
        return features_of(words)

    with pytest.raises(KeyboardInterrupt):
        ask(FeatureStore(tmp_path, "judge"), WORDS, dies, batch_size=2)
    encoder = Encoder()
    ask(FeatureStore(tmp_path, "judge"), WORDS, encoder)
    assert encoder.batches == [["c", "d", "e"]]


def test_a_full_shard_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callbacks.scoring.features._ROWS", 2)
    ask(FeatureStore(tmp_path, "judge"), WORDS, Encoder(), batch_size=1)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
    found = ask(FeatureStore(str(tmp_path), "judge", dim=6), WORDS[::-1], pytest.fail)
    assert torch.equal(found, features_of(WORDS[::-1])) and found.dtype == torch.float32


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_ranks_that_forked_from_one_store_overwrite_nothing(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "judge")
    ask(store, ["a"], Encoder())
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=ask, args=(store, words, Encoder())) for words in (["b", "c"], ["c", "d"])]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
        assert rank.exitcode == 0
    assert torch.equal(ask(FeatureStore(tmp_path, "judge"), WORDS[:4], pytest.fail), features_of(WORDS[:4]))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-8]),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(path.read_bytes()[:-24] + bytes(24)),
    "no numbers": lambda path: path.write_bytes(path.read_bytes()[:-24] + b"\xff" * 24),
    "no keys": lambda path: save_file({"features": features_of(WORDS)}, path),
    "too few keys": lambda path: save_file({"features": features_of(WORDS)}, path, {"keys": '["x"]'}),
    "no features": lambda path: save_file({"others": features_of(WORDS)}, path, {"keys": "[]"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_reported_and_computed_anew(
    shard: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    DAMAGES[damage](shard)
    encoder = Encoder()
    assert torch.equal(ask(FeatureStore(tmp_path, "judge"), WORDS, encoder), features_of(WORDS))
    assert encoder.batches == [WORDS]
    [message] = caplog.messages
    assert f"'{shard}'" in message and "computed anew. Delete the file" in message
    assert torch.equal(ask(FeatureStore(tmp_path, "judge"), WORDS, pytest.fail), features_of(WORDS))


def test_a_judge_of_another_feature_size_than_kept(shard: Path, tmp_path: Path) -> None:
    def refused(by: str, other: str, dim: int | None = None) -> None:
        with pytest.raises(
            ValueError, match=rf"`.*{by} has .*, and {other}.* Delete the folder .*or give another folder"
        ):
            ask(FeatureStore(tmp_path, "judge", dim), ["x"], Encoder(8))

    refused("the judge `judge`", "`.*safetensors` of size 6")
    refused(".*safetensors`", "the argument `dim` of size 8", dim=8)
    save_file({"features": features_of(["x"], 8)}, shard.with_name("z.safetensors"), {"keys": '["x"]'})
    refused(".*z.safetensors`", "`.*safetensors` of size 6")


def test_keys_tell_contents_apart() -> None:
    dots = Image.new("P", (4, 2))
    dots.putpalette([0, 0, 0])
    blue = dots.copy()
    blue.putpalette([0, 0, 255])
    sizes = [Image.new("L", (4, 2)), Image.new("L", (2, 4)), Image.new("RGB", (4, 2)), Image.new("L", (4, 2), 1)]
    keys = [image_key(image) for image in [*sizes, dots, blue]] + [text_key("A dog"), text_key("a dog")]
    assert len(set(keys)) == len(keys)
    assert image_key(sizes[0]) == image_key(sizes[0].copy())


def test_features_that_are_not_finite_or_cannot_be_written_are_not_kept(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "a judge")
    with pytest.raises(ValueError, match="`judge`: the features of `a judge` are not finite"):
        ask(store, WORDS, lambda words: features_of(words).index_fill(0, torch.tensor([1]), torch.nan))
    assert not list(tmp_path.rglob("*.safetensors"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write `.*file.*safetensors`"):
        ask(FeatureStore(tmp_path / "file", "judge"), WORDS, Encoder())
