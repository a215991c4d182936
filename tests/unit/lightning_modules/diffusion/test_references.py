"""Several references of one picture, and negative ones: `StyleTransfer` against features combined by hand."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.batches import Job, JobBatch, Reference
from lightning_modules.conditions import InstantStyle, IPAdapter
from lightning_modules.diffusion.config import Backbone, ReferenceMix, SamplingSettings
from lightning_modules.diffusion.sampling import sample
from lightning_modules.style_transfer import StyleTransfer
from tests.float64 import assert_same
from tests.unit.lightning_modules.diffusion.stock import Pair

pytestmark = pytest.mark.usefixtures("float64")

SETTINGS = SamplingSettings("EulerDiscreteScheduler", steps=2)
CONTENTS = ("frog", "frog", "dog", "ship")
REFERENCES = [Reference(n, f"{content}_{n}", content, "toy", f"{n}") for n, content in enumerate(CONTENTS)]
IMAGES = {
    reference.key: Image.fromarray(np.random.default_rng(n).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    for n, reference in enumerate(REFERENCES)
}
PROMPTS, SEEDS = ["A rocket", "A bench"], [42, 43]
Groups = list[list[int]]  # numbers of references, a list for each picture


def _batch(conditioned_on: Groups, negatives: Groups | None = None) -> JobBatch:
    jobs = []
    for row, (first, *others) in enumerate(conditioned_on):
        against = tuple(REFERENCES[n] for n in (negatives or [[]] * 2)[row])
        other = tuple(REFERENCES[n] for n in others)
        jobs.append(Job(REFERENCES[first], PROMPTS[row], 0, SEEDS[row], other, against))
    return {"jobs": jobs, "images": IMAGES, "contents": [], "finished": 0}


def _module(pair: Pair, mix: ReferenceMix = ReferenceMix()) -> StyleTransfer:
    module = StyleTransfer(IPAdapter(), Backbone(str(pair.folder)), SETTINGS, mix)
    module.diffusion = pair.model
    return module


def _features(pair: Pair) -> Tensor:
    return pair.model.encode_images(list(IMAGES.values()))


@pytest.mark.parametrize(("weights", "shares"), [(None, (0.5, 0.5)), ([1.0, 3.0], (0.25, 0.75))])
def test_the_mean_is_of_features(pair: Pair, weights: list[float] | None, shares: tuple[float, float]) -> None:
    e = _features(pair)
    mean = torch.stack([shares[0] * e[0] + shares[1] * e[2], shares[0] * e[3] + shares[1] * e[1]])
    expected = sample(pair.model, SETTINGS, pair.model.encode_prompts(PROMPTS), mean, SEEDS)
    assert_same(_module(pair, ReferenceMix("mean", weights)).generate(_batch([[0, 2], [3, 1]])).images, expected)


def test_tokens_are_one_set_for_each(pair: Pair) -> None:
    e = _features(pair)
    sets = [e[[0, 3]], e[[2, 1]]]
    expected = sample(pair.model, SETTINGS, pair.model.encode_prompts(PROMPTS), sets, SEEDS, shares=(0.25, 0.75))
    assert_same(_module(pair, ReferenceMix("tokens", [1.0, 3.0])).generate(_batch([[0, 2], [3, 1]])).images, expected)


@pytest.mark.parametrize(
    ("mix", "groups"),
    [
        (ReferenceMix("mean", [2.0, 0.0]), [[0, 2], [3, 1]]),
        (ReferenceMix("tokens", [2.0, 0.0]), [[0, 2], [3, 1]]),
        (ReferenceMix("mean"), [[0, 0, 0], [3, 3, 3]]),
        (ReferenceMix("tokens"), [[0, 0, 0], [3, 3, 3]]),
    ],
)
def test_what_amounts_to_one_reference(pair: Pair, mix: ReferenceMix, groups: Groups) -> None:
    alone = _module(pair).generate(_batch([[0], [3]])).images
    assert_same(_module(pair, mix).generate(_batch(groups)).images, alone)


def test_each_reference_is_edited_against_its_own_content(sdxl_pair: Pair) -> None:
    model, e = sdxl_pair.model, _features(sdxl_pair)
    t = model.encode_contents([REFERENCES[n].content for n in (0, 2)])
    condition = InstantStyle(strength=0.7)
    module = _module(sdxl_pair)
    module.condition = condition
    mean = condition(e[[0, 2]], t).feature.mean(0, keepdim=True)
    expected = sample(model, SETTINGS, model.encode_prompts(PROMPTS[:1]), mean, SEEDS[:1])
    assert_same(module.generate(_batch([[0, 2]])).images, expected)


def test_negative_references_stand_for_nothing(pair: Pair) -> None:
    e = _features(pair)
    negative = torch.stack([e[2], (e[1] + e[3]) / 2])
    text = pair.model.encode_prompts(PROMPTS)
    expected = sample(pair.model, SETTINGS, text, e[[0, 1]], SEEDS, negative_features=negative)
    images = _module(pair).generate(_batch([[0], [1]], [[2], [1, 3]])).images
    assert_same(images, expected)
    plain = _module(pair).generate(_batch([[0], [1]])).images
    assert all(float(difference.abs().max()) > 1e-3 for difference in images - plain)


def test_pictures_do_not_depend_on_their_batch(sdxl_pair: Pair) -> None:
    module = _module(sdxl_pair, ReferenceMix("tokens"))
    together = module.generate(_batch([[0, 2], [3, 1]], [[2], [1]])).images
    first = _module(sdxl_pair, ReferenceMix("tokens")).generate(_batch([[0, 2]], [[2]])).images
    assert_same(together[:1], first)


def test_weights_that_do_not_fit(pair: Pair) -> None:
    module = _module(pair, ReferenceMix("mean", [1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="`weights` must have one number for each of the 2 references"):
        module.generate(_batch([[0, 2], [3, 1]]))


def test_unequal_numbers_of_references(pair: Pair) -> None:
    with pytest.raises(ValueError, match="`others` must be as many for each job of a batch"):
        _module(pair).generate(_batch([[0, 2], [3]]))


def test_negatives_of_some_pictures_only(pair: Pair) -> None:
    e, text = _features(pair), pair.model.encode_prompts(PROMPTS)
    negative = torch.stack([e[2], torch.zeros_like(e[2])])
    expected = sample(pair.model, SETTINGS, text, e[[0, 1]], SEEDS, negative_features=negative)
    assert_same(_module(pair).generate(_batch([[0], [1]], [[2], []])).images, expected)
