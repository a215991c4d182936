"""StyleTransfer: what it generates, what it remembers, and what reaches a checkpoint."""

import dataclasses
import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.batches import JobBatch
from lightning_modules.adapters import ImageAdapter
from lightning_modules.conditions import Adapted, IPAdapter, Masking
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.sampling import sample
from lightning_modules.style_transfer import StyleTransfer, loaded_fingerprint
from tests.float64 import assert_same
from tests.jobs import job_batch

pytestmark = pytest.mark.usefixtures("float64")

SAMPLING = SamplingSettings(steps=3, negative_prompt="low quality", prompt_suffix=", best quality")
ADAPTER_KEYS = [f"condition.adapter.{name}.{kind}" for name in ("proj", "norm") for kind in ("weight", "bias")]


BATCH = job_batch([(0, "A rocket", 0), (1, "A bench", 0), (0, "A bench", 1), (2, "", 0)])
IMAGES = [BATCH["images"][job.reference.key] for job in BATCH["jobs"]]


@pytest.fixture(scope="module")
def module(tiny_backbone: Backbone) -> StyleTransfer:
    module = StyleTransfer(Masking(), tiny_backbone, SAMPLING)
    module.configure_model()
    module.double()
    return module


def _trainer(**options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def _loader(*batches: JobBatch) -> DataLoader[Any]:
    return DataLoader(list(batches), batch_size=None, collate_fn=lambda batch: batch)  # type: ignore[arg-type]


def test_each_row_is_sampled_from_its_own_job(module: StyleTransfer) -> None:
    generations = module.generate(BATCH)
    assert generations.jobs == BATCH["jobs"] and generations.references == IMAGES
    model = module.model
    for row, (job, image) in enumerate(zip(BATCH["jobs"], IMAGES, strict=True)):
        conditioned = Masking()(model.encode_images([image]), model.encode_contents([job.reference.content]))
        expected = sample(
            model,
            SAMPLING,
            model.encode_prompts([f"{job.prompt}, best quality"]),
            conditioned.feature,
            [job.seed],
            model.encode_prompts(["low quality"]),
        )
        assert_same(generations.images[row], expected[0])
        assert generations.keep_mask is not None and torch.equal(generations.keep_mask[row], conditioned.keep_mask[0])
        assert generations.share_masked is not None
        assert_same(generations.share_masked[row], conditioned.share_masked[0])


def test_the_text_tower_is_told_the_template(module: StyleTransfer, tiny_backbone: Backbone) -> None:
    told = StyleTransfer(Masking(), tiny_backbone, dataclasses.replace(SAMPLING, content_template="A {} toy"))
    told.diffusion, model = module.diffusion, module.model
    words = [f"A {job.reference.content} toy" for job in BATCH["jobs"]]
    expected = Masking()(model.encode_images(IMAGES), model.encode_contents(words)).keep_mask
    assert expected is not None and torch.equal(told.generate(BATCH).keep_mask, expected)  # type: ignore[arg-type]
    assert not torch.equal(module.generate(BATCH).keep_mask, expected)  # type: ignore[arg-type]


def test_one_reference_alone_or_among_eight(tiny_backbone: Backbone) -> None:
    rows = [(number, "A rocket", 0) for number in range(8)]
    module = StyleTransfer(Masking(), tiny_backbone, SAMPLING)
    module.configure_model()
    module.double()
    together = module.generate(job_batch(rows)).images
    for row in rows:
        module.generator.forget()
        assert_same(module.generate(job_batch([row])).images[0], together[row[0]])


def test_methods_without_a_mask_report_none(module: StyleTransfer, tiny_backbone: Backbone) -> None:
    plain = StyleTransfer(IPAdapter(), tiny_backbone, SAMPLING)
    plain.diffusion = module.diffusion
    generations = plain.generate(job_batch([(0, "A rocket", 0)]))
    assert generations.keep_mask is None and generations.share_masked is None
    assert float((generations.images - module.generate(job_batch([(0, "A rocket", 0)])).images).abs().max()) > 1e-3


def test_everything_is_encoded_once(module: StyleTransfer, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: dict[str, list[int]] = {}

    def spied(name: str) -> Any:
        encode = getattr(module.model, name)

        def spy(items: Sequence[Any]) -> Tensor:
            encoded.setdefault(name, []).append(len(items))
            result: Tensor = encode(items)
            return result

        return spy

    for name in ("encode_images", "encode_contents", "encode_prompts"):
        monkeypatch.setattr(module.model, name, spied(name))
    module.generator.forget()
    module.generate(BATCH)
    module.generate(BATCH)
    module.generate(job_batch([(3, "A rocket", 0)]))
    assert encoded["encode_images"] == [3, 1]
    assert encoded["encode_contents"] == [3]
    assert encoded["encode_prompts"] == [1] * 7, "content words, prompts, the negative prompt, each by itself"
    module.model.to(torch.float32)
    module.generate(BATCH)
    module.model.double()
    module.generate(BATCH)
    assert encoded["encode_images"] == [3, 1, 3, 3], "encodings of another precision are no use"


def test_another_method_draws_with_what_is_encoded(module: StyleTransfer, tiny_backbone: Backbone) -> None:
    swept = StyleTransfer(Masking(), tiny_backbone, SAMPLING)
    swept.diffusion = module.diffusion
    swept.generate(BATCH)
    sampling = dataclasses.replace(SAMPLING, steps=2)
    swept.use(IPAdapter(), sampling)
    fresh = StyleTransfer(IPAdapter(), tiny_backbone, sampling)
    fresh.diffusion = module.diffusion
    assert (swept.name, swept.settings) == ("ip_adapter", fresh.settings)
    told: JobBatch = {**BATCH, "contents": ["A dog"], "finished": 3}
    drawn = swept.generate(told)
    assert_same(drawn.images, fresh.generate(BATCH).images)
    assert (drawn.contents, drawn.finished) == (["A dog"], 3)


def test_trainer_loops_return_the_same(module: StyleTransfer) -> None:
    expected = module.generate(BATCH).images
    seen = []
    module.on_validation_batch_end = lambda outputs, *_: seen.append(outputs)  # type: ignore[method-assign]
    module.on_test_batch_end = lambda outputs, *_: seen.append(outputs)  # type: ignore[method-assign]
    trainer = _trainer()
    trainer.validate(module, _loader(BATCH), verbose=False)
    trainer.test(module, _loader(BATCH), verbose=False)
    seen += trainer.predict(module, _loader(BATCH)) or []
    assert len(seen) == 3
    for generations in seen:
        assert_same(generations.images, expected)
        assert generations.jobs == BATCH["jobs"]


@pytest.mark.parametrize(("precision", "relative"), [("32-true", 1e-3), ("bf16-true", 0.1), ("bf16-mixed", 0.1)])
def test_trainer_precisions(tiny_backbone: Backbone, precision: Any, relative: float) -> None:
    torch.manual_seed(0)
    condition = Adapted(ImageAdapter(20))
    sampling = dataclasses.replace(SAMPLING, steps=1, guidance_scale=1.0)
    modules = [StyleTransfer(deepcopy(condition), tiny_backbone, sampling) for _ in range(2)]
    exact, images = (
        (_trainer(precision=each).predict(module, _loader(BATCH)) or [])[0].images
        for each, module in zip(("64-true", precision), modules, strict=True)
    )
    assert modules[1].settings["precision"] == precision
    assert_same(images, exact, relative)


def test_settings_are_all_that_decides(module: StyleTransfer, tiny_backbone: Backbone) -> None:
    assert module.name == "masking"
    assert StyleTransfer(Masking(), tiny_backbone, SAMPLING).settings == {
        "method": "masking",
        "condition": {"n_clusters": 2},
        "backbone": dataclasses.asdict(tiny_backbone),
        "sampling": dataclasses.asdict(SAMPLING),
        "mix": {"combine": "mean", "weights": None},
        "precision": "32-true",
    }
    adapted = StyleTransfer(Adapted(ImageAdapter(20)), tiny_backbone)
    before = json.dumps(adapted.settings)
    assert json.dumps(adapted.settings) == before
    next(adapted.condition.parameters()).data[0, 0] += 1
    assert json.dumps(adapted.settings) != before, "trained weights decide the picture too"


def test_weights_of_other_content_under_the_same_name_are_other_settings(tiny_backbone: Backbone) -> None:
    modules = [StyleTransfer(Masking(), tiny_backbone) for _ in range(2)]
    for module in modules:
        module.configure_model()
    assert modules[0].settings == modules[1].settings
    modules[0].model.image_projection.get_parameter("proj.weight").data += 1
    assert loaded_fingerprint(modules[0].model) != loaded_fingerprint(modules[1].model)
    assert modules[1].settings["backbone"]["weights"] == loaded_fingerprint(modules[1].model)  # type: ignore[index, call-overload]


def test_frozen_weights_are_frozen_and_unsaved(tiny_backbone: Backbone) -> None:
    module = StyleTransfer(Adapted(ImageAdapter(20)), tiny_backbone)
    module.configure_model()
    loaded = module.diffusion
    module.configure_model()
    assert module.diffusion is loaded, "the second call loads nothing"
    module.train()
    assert module.condition.training and not any(part.training for part in module.model.modules())
    assert [name for name, p in module.named_parameters() if p.requires_grad] == ADAPTER_KEYS
    assert list(module.state_dict()) == ADAPTER_KEYS
    assert list(torch.nn.ModuleDict({"inner": module}).state_dict()) == [f"inner.{key}" for key in ADAPTER_KEYS]


def test_loading_is_strict_about_everything_else(tiny_backbone: Backbone) -> None:
    module = StyleTransfer(Adapted(ImageAdapter(20)), tiny_backbone)
    module.configure_model()
    state = {key: torch.full_like(tensor, 0.5) for key, tensor in module.state_dict().items()}
    module.load_state_dict(state)
    assert all(torch.equal(tensor, state[key]) for key, tensor in module.state_dict().items())
    state["condition.adaptor.proj.weight"] = state.pop("condition.adapter.proj.weight")
    with pytest.raises(RuntimeError, match=r"Missing key.*condition\.adapter\.proj\.weight(.|\n)*Unexpected.*adaptor"):
        module.load_state_dict(state)


def test_checkpoints_load_weights_only(tiny_backbone: Backbone, tmp_path: Path) -> None:
    module = StyleTransfer(Adapted(ImageAdapter(20)), tiny_backbone, SAMPLING)
    trainer = _trainer()
    trainer.validate(module, _loader(job_batch([(0, "A rocket", 0)])), verbose=False)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert list(torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"]) == ADAPTER_KEYS
    again = StyleTransfer.load_from_checkpoint(tmp_path / "a.ckpt", condition=Adapted(ImageAdapter(20)))
    assert again.backbone == tiny_backbone and again.sampling == SAMPLING
    assert again.settings["condition"] == module.settings["condition"]
