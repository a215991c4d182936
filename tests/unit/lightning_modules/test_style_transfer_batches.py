"""StyleTransfer: several references of one picture, negative ones, and batches that memory does not hold."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules.batches import JobBatch
from lightning_modules.conditions import Masking
from lightning_modules.diffusion.config import Backbone, ReferenceMix, SamplingSettings
from lightning_modules.diffusion.sampling import sample
from lightning_modules.style_transfer import StyleTransfer
from tests.float64 import assert_same
from tests.jobs import job_batch

pytestmark = pytest.mark.usefixtures("float64")

SAMPLING = SamplingSettings(steps=3, negative_prompt="low quality", prompt_suffix=", best quality")


BATCH = job_batch([(0, "A rocket", 0), (1, "A bench", 0), (0, "A bench", 1), (2, "", 0)])


@pytest.fixture(scope="module")
def module(tiny_backbone: Backbone) -> StyleTransfer:
    module = StyleTransfer(Masking(), tiny_backbone, SAMPLING)
    module.configure_model()
    module.double()
    return module


def _several(count: int = 2, negatives: tuple[int, ...] = ()) -> JobBatch:
    """One picture of references 0 .. count - 1, against `negatives`."""
    batch = job_batch([(number, "A rocket", 0) for number in (*range(count), *negatives)])
    references = [job.reference for job in batch["jobs"]]
    job = batch["jobs"][0]._replace(others=tuple(references[1:count]), negatives=tuple(references[count:]))
    return {"jobs": [job], "images": batch["images"], "contents": [], "finished": 0}


def _edited(model: Any, batch: JobBatch) -> list[Tensor]:
    job = batch["jobs"][0]
    return [
        Masking()(model.encode_images([batch["images"][r.key]]), model.encode_contents([r.content])).feature
        for r in (job.reference, *job.others)
    ]


@pytest.mark.parametrize("combine", ["mean", "tokens"])
def test_several_references_are_edited_one_by_one_and_mixed(
    tiny_backbone: Backbone, module: StyleTransfer, combine: Any
) -> None:
    several = StyleTransfer(Masking(), tiny_backbone, SAMPLING, mix=ReferenceMix(combine, [1.0, 3.0]))
    several.diffusion = module.diffusion
    batch, model = _several(), module.model
    first, second = _edited(model, batch)
    features, shares = ([first, second], [0.25, 0.75]) if combine == "tokens" else ([(first + 3 * second) / 4], [1.0])
    text, negative = (model.encode_prompts([t]) for t in ("A rocket, best quality", "low quality"))
    expected = sample(model, SAMPLING, text, features, [42], negative, shares=shares)
    generations = several.generate(batch)
    assert_same(generations.images, expected)
    assert generations.keep_mask is not None and generations.keep_mask.shape == first.shape
    assert torch.equal(generations.keep_mask, first != 0), "the mask of the first reference is drawn"


def test_negative_references_take_the_place_of_nothing(module: StyleTransfer) -> None:
    batch, model = _several(1, negatives=(1, 2)), module.model
    images = list(batch["images"].values())
    against = model.encode_images(images[1:]).mean(dim=0, keepdim=True)
    text, negative = (model.encode_prompts([t]) for t in ("A rocket, best quality", "low quality"))
    [feature] = _edited(model, batch)
    expected = sample(model, SAMPLING, text, feature, [42], negative, negative_features=against)
    assert_same(module.generate(batch).images, expected)


def test_weights_must_be_one_for_each_reference(tiny_backbone: Backbone, module: StyleTransfer) -> None:
    several = StyleTransfer(Masking(), tiny_backbone, SAMPLING, mix=ReferenceMix(weights=[1.0]))
    several.diffusion = module.diffusion
    with pytest.raises(
        ValueError, match=r"`weights` must have one number for each of the 2 .* got \[1.0\].*references_"
    ):
        several.generate(_several())


def test_a_batch_that_does_not_fit_is_halved(module: StyleTransfer, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = module.generate(BATCH)
    sizes = []

    def small_memory(*args: Any, seeds: Sequence[int], **kwargs: Any) -> Tensor:
        sizes.append(len(seeds))
        if len(seeds) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return sample(*args, seeds=seeds, **kwargs)

    monkeypatch.setattr("lightning_modules.diffusion.sampling.sample", small_memory)
    monkeypatch.setattr(module.generator, "_most_rows", None)
    with pytest.warns(
        UserWarning, match=r"4 pictures at a time do not fit .* going on with 2.*generation_batch_size 2"
    ):
        generations = module.generate(BATCH)
    assert sizes == [4, 2, 1, 1, 1, 1]
    assert_same(generations.images, expected.images)
    assert generations.jobs == expected.jobs and generations.references == expected.references
    assert generations.keep_mask is not None and expected.keep_mask is not None
    assert torch.equal(generations.keep_mask, expected.keep_mask)
    module.generate(BATCH)
    assert sizes[6:] == [1] * 4, "the size that fits is remembered"


def test_one_picture_that_does_not_fit_ends_the_run(module: StyleTransfer, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: Any, **__: Any) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr("lightning_modules.diffusion.sampling.sample", no_memory)
    monkeypatch.setattr(module.generator, "_most_rows", None)
    with pytest.raises(torch.OutOfMemoryError):
        module.generate(job_batch([(0, "A rocket", 0)]))


def test_weights_without_further_references_are_refused(tiny_backbone: Backbone, module: StyleTransfer) -> None:
    alone = StyleTransfer(Masking(), tiny_backbone, SAMPLING, mix=ReferenceMix(weights=[2.0, 1.0]))
    alone.diffusion = module.diffusion
    with pytest.raises(ValueError, match=r"`weights` must have one number for each of the 1 references.*per_picture"):
        alone.generate(BATCH)
