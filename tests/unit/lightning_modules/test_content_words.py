"""Content words that are found by the paired CLIP, and what is said of doubtful words and of masks that drop much."""

import dataclasses
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity

from callbacks.prediction_writer import PredictionWriter
from datamodules.batches import JobBatch, Reference
from datamodules.miniature.generate import draw
from datamodules.miniature.references import MiniatureReferences
from datamodules.vocabulary import CONTENTS, TEST_STYLES, read_vocabulary
from lightning_modules.adapter_training import AdapterReconstruction
from lightning_modules.adapters import TextAdapter
from lightning_modules.conditions import IPAdapter, Masking, QuantileMasking
from lightning_modules.content_words import ContentWords, best_word
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.outputs import MOST_MASKED
from lightning_modules.picture_generator import PictureGenerator
from tests.fitting import Recorded, module, references, trainer
from tests.jobs import job_batch

WORDS = read_vocabulary("miniature")
TO_FIND = "auto:0123456789abcdef"
SAMPLING = SamplingSettings(steps=1, guidance_scale=1.0)


@pytest.fixture(scope="module")
def model() -> StableDiffusion:
    return StableDiffusion.load(Backbone())


def generator(model: StableDiffusion, condition: Any = None, **sampling: Any) -> PictureGenerator:
    made = PictureGenerator(condition or Masking(), Backbone(), dataclasses.replace(SAMPLING, **sampling))
    made.diffusion = model
    return made


def drawings(*pairs: tuple[str, str], content: str = TO_FIND) -> JobBatch:
    """A job for the drawing of each content and style."""
    batch = job_batch([(number, "A rocket", 0) for number in range(len(pairs))])
    told = [job.reference._replace(key=f"{number}", content=content) for number, job in enumerate(batch["jobs"])]
    batch["jobs"] = [job._replace(reference=each) for job, each in zip(batch["jobs"], told, strict=True)]
    batch["images"] = {str(number): draw(*pair, seed=5) for number, pair in enumerate(pairs)}
    return batch | {"vocabulary": WORDS}  # type: ignore[return-value]


def test_nearly_all_words_of_the_test_styles_are_right(model: StableDiffusion) -> None:
    pairs = [(content, style) for content in CONTENTS for style in TEST_STYLES]
    features = model.encode_images([draw(*pair, seed=[0, 0]) for pair in pairs])  # test references of the miniature
    asked = [Reference(number, f"{number}", TO_FIND, "", f"{number}") for number in range(len(pairs))]
    found = generator(model).find_words(asked, WORDS, lambda each: features[each.index][None])
    right = sum(found[each.key].word == pairs[each.index][0] for each in asked)
    assert right >= 0.95 * len(pairs)
    assert sum(each.is_unsure for each in found.values()) <= 0.05 * len(pairs)


def test_words_are_in_the_jobs_with_their_margins(model: StableDiffusion) -> None:
    batch = drawings(("cat", "lego toy"), ("ship", "pop art"))
    drawn = generator(model).generate(batch)
    assert [job.reference.word for job in drawn.jobs] == ["cat", "ship"]
    assert [job.identity for job in drawn.jobs] == [job.identity for job in batch["jobs"]]
    cosines = cosine_similarity(
        model.encode_images([batch["images"]["1"]]).double(), model.encode_contents(WORDS).double()
    )
    best, second = cosines.topk(2).values.tolist()
    assert drawn.found["1"].margin == pytest.approx(best - second, abs=1e-6)
    assert drawn.found["1"].second == WORDS[int(cosines.topk(2).indices[1])]
    known = drawings(("cat", "lego toy"), content="cat")
    assert torch.equal(generator(model).generate(known).keep_mask[0], drawn.keep_mask[0])  # type: ignore[index]
    assert generator(model).generate(known).found == {}


def test_the_batch_changes_nothing_and_nothing_is_encoded_twice(
    model: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = drawings(("cat", "lego toy"), ("ship", "pop art"), ("dog", "blueprint"))
    together = generator(model).generate(batch).found
    alone: dict[str, Any] = {}
    for job in batch["jobs"]:
        alone |= generator(model).generate({**batch, "jobs": [job]}).found
    assert alone == together
    encoded = {"encode_images": 0, "encode_contents": 0}

    def spied(name: str) -> Any:
        encode = getattr(model, name)

        def counted(items: Any) -> Any:
            encoded[name] += len(items)
            return encode(items)

        return counted

    for name in encoded:
        monkeypatch.setattr(model, name, spied(name))
    made = generator(model)
    for _ in range(2):
        made.generate(batch)
    assert encoded == {"encode_images": 3, "encode_contents": len(WORDS)}


def test_further_references_have_their_words_too(model: StableDiffusion) -> None:
    batch = drawings(("cat", "lego toy"), ("ship", "pop art"))
    [first, second] = batch["jobs"]
    batch["jobs"] = [first._replace(others=(second.reference,))]
    [job] = generator(model).generate(batch).jobs
    assert (job.reference.word, job.others[0].word) == ("cat", "ship")


def test_equal_words_are_taken_in_their_order_and_are_unsure() -> None:
    found = best_word(torch.tensor([0.1, 0.4, 0.4, 0.0], dtype=torch.float64), ["a", "b", "c", "d"])
    assert found == ("b", 0.0, "c", True)
    assert best_word(torch.tensor([0.0, 0.9, 0.1], dtype=torch.float64), ["a", "b", "c"])[2:] == ("c", False)
    assert best_word(torch.zeros(3), ["a", "b", "c"]).is_unsure


def test_an_unsure_word_is_told_once_with_the_second_best_and_the_way_out() -> None:
    texts, words = torch.eye(3, 4), ["cat", "dog", "ship"]
    features = {"sure.png": [1.0, 0, 0, 0], "unsure.png": [1.0, 0.9, 0, 1.0]}
    asked = [Reference(0, key, TO_FIND, "", key) for key in features]
    finder = ContentWords()

    def find() -> None:
        finder.find(asked, words, "{}", lambda each: torch.tensor([features[each.key]]), lambda _: texts)

    with pytest.warns(UserWarning, match="`content_words` are found") as caught:
        find()
    [told] = [str(each.message) for each in caught if each.category is UserWarning]
    assert (
        "of 1 references they are unsure:\n  'unsure.png': 'cat' (cosine 0.597), not far before 'dog' (0.537)\n" in told
    )
    assert '"*": "auto"' in told and "`vocabulary`" in told
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        find()


def test_what_cannot_be_found_is_refused(model: StableDiffusion, tiny_backbone: Backbone) -> None:
    batch = drawings(("cat", "lego toy"))
    with pytest.raises(ValueError, match="`vocabulary` is missing in the batch, among whose words that of '0'"):
        generator(model).generate({**batch, "vocabulary": []})
    styleshot = generator(model)
    styleshot.backbone = Backbone(style_encoder="any.bin")
    with pytest.raises(ValueError, match="`content_words` cannot be found on a StyleShot backbone: .* Say what"):
        styleshot.generate(batch)
    with pytest.raises(ValueError, match="`content_words` cannot be found for 'x': .* is not finite"):
        ContentWords().find(
            [Reference(0, "x", TO_FIND, "", "x")],
            WORDS,
            "{}",
            lambda _: torch.full((1, 4), torch.nan),
            lambda w: torch.ones(len(w), 4),
        )


def test_a_mask_that_drops_most_is_told_once_a_reference_and_word(model: StableDiffusion) -> None:
    batch = drawings(("cat", "lego toy"), ("ship", "pop art"), content="cat")
    made = generator(model, QuantileMasking(0.3))
    with pytest.warns(UserWarning, match="more than half of the image feature of 2 references") as caught:
        drawn = made.generate(batch)
    [told] = [str(each.message) for each in caught if each.category is UserWarning]
    assert "'0' by the word 'cat': 70 %\n  '1' by the word 'cat': 70 %\n" in told
    assert "`content_words`" in told and "configs/predict/masking_quantile.yaml" in told
    assert drawn.mostly_masked == [True, True] and min(filter(None, drawn.shares)) > MOST_MASKED
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        made.generate(batch)
        assert generator(model, QuantileMasking(0.7)).generate(batch).mostly_masked == [False, False]
        assert generator(model, IPAdapter()).generate(batch).mostly_masked == [False, False]
    with pytest.warns(UserWarning, match="by the word 'dog'"):
        made.generate(drawings(("cat", "lego toy"), content="dog"))


def test_the_writer_counts_pictures_that_are_mostly_masked_and_writes_margins(
    model: StableDiffusion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from lightning_modules.style_transfer import StyleTransfer

    data = MiniatureReferences(
        str(tmp_path / "data"),
        1,
        1,
        content_words="auto",
        vocabulary="miniature",
        predict_references=2,
        prompts=["A rocket"],
    )
    for theta, end in (
        (0.3, " 2 of those written were drawn from a feature of which more than half is masked."),
        (0.7, ""),
    ):
        made = StyleTransfer(QuantileMasking(theta), Backbone(), SAMPLING)
        made.diffusion = model
        writer = PredictionWriter(str(tmp_path / str(theta)))
        with caplog.at_level(logging.INFO), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer(writer).predict(made, data, return_predictions=False)
        assert caplog.messages[-1] == f"2 pictures were written to `{tmp_path / str(theta)}`; 0 lay there already.{end}"
    lines = [json.loads(line) for line in (tmp_path / "0.7" / "generations-0.jsonl").read_text().splitlines()]
    for line in lines:
        word = line["reference"]["key"].split("/")[0]
        assert line["reference"]["found"] == word and line["file"].startswith(f"{word}__")
        assert {*line["found"]} == {"margin", "second"} and line["found"]["margin"] > 0


@pytest.mark.parametrize("cache_features", [True, False])
def test_training_draws_the_words_that_are_found(cache_features: bool, tiny_backbone: Backbone, tmp_path: Path) -> None:
    def losses(**words: Any) -> tuple[list[list[float]], AdapterReconstruction]:
        made, seen = module(tiny_backbone, adapter=TextAdapter, cache_features=cache_features), Recorded()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer(seen, max_steps=3).fit(made, references(tmp_path / "data", **words))
        return seen.losses, made

    auto = {"content_words": "auto", "vocabulary": "miniature"}
    found, made = losses(**auto)
    assert found == losses(**auto)[0]
    data = references(tmp_path / "data", **auto)
    [model, tests] = made.model, data.train_set
    texts, words = model.encode_contents(WORDS).double(), {}
    for index, reference in enumerate(tests.references):
        feature = model.encode_images([tests.image(index)]).double()
        words[f"{reference.key}.png"] = WORDS[int(cosine_similarity(feature, texts).argmax())]
    assert all(each.word in WORDS and each.is_to_find for each in made.references)
    told = losses(content_words=words)[0]
    assert torch.allclose(torch.tensor(found), torch.tensor(told), rtol=1e-5)
    assert found != losses(content_words="frog" if {*words.values()} != {"frog"} else "cat")[0]
