from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.batches import ReferenceBatch, ReferenceSource
from datamodules.references import ReferenceSet
from datamodules.style_references import StyleReferences
from lightning_modules.adapter_training import FrozenFeatures, encode_train_set
from lightning_modules.adapters import TextAdapter
from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from tests.fitting import Recorded, module, references, trainer
from tests.float64 import assert_same


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What each encoder was given, and which images were opened."""
    seen: dict[str, list[Any]] = {}
    watched = [(StableDiffusion, name) for name in ("encode_images", "encode_latents", "encode_prompts")]
    for owner, name in [*watched, (ReferenceSet, "image")]:
        seen[name] = []

        def spy(self: Any, items: Any, name: str = name, original: Any = getattr(owner, name)) -> Any:
            seen[name] += items if isinstance(items, list) else [items]
            return original(self, items)

        monkeypatch.setattr(owner, name, spy)
    return seen


def test_everything_is_encoded_and_opened_once(
    tiny_backbone: Backbone, tmp_path: Path, counts: dict[str, list[Any]]
) -> None:
    data = references(tmp_path / "object")
    trainer(max_steps=-1, max_epochs=2).fit(module(tiny_backbone), data)
    assert counts["image"] == list(range(12))
    assert len(counts["encode_images"]) == len(counts["encode_latents"]) == 12
    assert sorted(counts["encode_prompts"]) == ["", "best quality, high quality", "bird", "cat", "dog"]


@pytest.mark.usefixtures("float64")
def test_cached_and_fresh_features_give_the_same_losses(tiny_backbone: Backbone, tmp_path: Path) -> None:
    losses = []
    for cached in (True, False):
        recorded, data = Recorded(), references(tmp_path / "object")
        made = module(tiny_backbone, cache_features=cached, adapter=TextAdapter)
        trainer(recorded, max_steps=4, precision="64-true").fit(made, data)
        losses.append(recorded.losses)
    assert_same(losses[0], losses[1])


def source_of(data: StyleReferences) -> ReferenceSource:
    batch: ReferenceBatch = next(iter(data.train_dataloader()))
    return batch["source"]


@pytest.mark.usefixtures("float64")
def test_features_lie_at_the_index_of_their_reference(tiny_backbone: Backbone, tmp_path: Path) -> None:
    model, data = StableDiffusion.load(tiny_backbone).double(), references(tmp_path / "object", batch_size=5)
    encoded = encode_train_set(model, source_of(data), show_progress=False)
    assert encoded.left_out == frozenset()
    for index in (0, 4, 11):
        image = [data.train_set.image(index)]
        expected = FrozenFeatures(*model.encode_latents(image), model.encode_images(image))
        assert_same(encoded.features.rows([index]), expected)


def test_processes_encode_different_batches_and_all_get_the_whole(
    tiny_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: dict[str, list[Any]]
) -> None:
    model, data = StableDiffusion.load(tiny_backbone), references(tmp_path / "object", batch_size=5)
    alone = encode_train_set(model, source_of(data), show_progress=False)
    shares: list[Any] = []
    # A group of its own, for that of NCCL would send all features through the memory of an accelerator.
    monkeypatch.setattr(torch.distributed, "new_group", lambda backend: backend)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda group: None)
    for rank in (1, 0):  # the last call sees both shares, as every process does after the exchange

        def gather(into: list[Any], share: Any, group: str) -> None:
            assert group == "gloo"
            shares.append(share)
            into[:] = shares if len(shares) == 2 else [share, ([], [])]

        monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
        counts["image"].clear()
        try:
            together = encode_train_set(model, source_of(data), rank, 2, show_progress=False)
        except AssertionError:  # rank 1 alone does not make a whole
            assert counts["image"] == [5, 6, 7, 8, 9]
    assert counts["image"] == [0, 1, 2, 3, 4, 10, 11]
    assert all(torch.equal(a, b) for a, b in zip(together.features, alone.features, strict=True))


def test_batches_without_their_source_are_refused_with_the_way_out(tiny_backbone: Backbone, tmp_path: Path) -> None:
    data = references(tmp_path / "object")
    data.setup("fit")
    [batch, *_] = data.train_dataloader()
    batches = [{"references": batch["references"]}]
    with pytest.raises(ValueError, match="`cache_features` needs batches .* or set `cache_features` to false to"):
        trainer().fit(module(tiny_backbone), batches)
