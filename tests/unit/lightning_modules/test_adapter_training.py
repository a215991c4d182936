import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from lightning_modules.adapter_training import AdapterReconstruction
from lightning_modules.adapters import Adapter, ImageAdapter, TextAdapter
from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.diffusion.unet_inputs import Conditions
from lightning_modules.objectives import DropRates, PublishedObjective, draw
from tests.fitting import Recorded, module, references, trainer
from tests.float64 import assert_same
from tests.unit.lightning_modules.diffusion.stock import variant

KEEP_ALL, DROP_IMAGES, DROP_CONTENTS = DropRates(0, 0, 0), DropRates(image=1, content=0, both=0), DropRates(0, 1, 0)


exact = pytest.mark.usefixtures("float64")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("references") / "object"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[Tensor]]:
    """Latents, time steps, text states and image tokens of each UNet call."""
    recorded: list[list[Tensor]] = []
    original = StableDiffusion.predict_noise

    def spy(model: StableDiffusion, latents: Tensor, timesteps: Tensor, told: Conditions) -> Tensor:
        arguments = latents, timesteps, told.text_states, *told.image_tokens
        recorded.append([argument.detach().clone() for argument in arguments])
        return original(model, latents, timesteps, told)

    monkeypatch.setattr(StableDiffusion, "predict_noise", spy)
    return recorded


def one_step(backbone: Backbone, root: Path, **arguments: Any) -> tuple[AdapterReconstruction, Recorded]:
    """A module after one step in float64 that changed nothing."""
    recorded = Recorded()
    made = module(backbone, **({"optimizer": lambda p: torch.optim.SGD(p, lr=0.0)} | arguments))
    trainer(recorded, precision="64-true").fit(made, references(root))
    return made, recorded


def by_hand(made: AdapterReconstruction, root: Path, indices: list[int]) -> dict[str, Tensor]:
    """The parts of the formulas in the paper, for kept conditions, one sample at a time."""
    train_set, model, rows = references(root).train_set, made.model, []
    for index in indices:
        image, content = [train_set.image(index)], [train_set.references[index].content]
        draws = draw(42, 0, [index], model.latent_shape, 1000)
        e, (mean, std) = model.encode_images(image), model.encode_latents(image)
        latents = mean + std * draws.latent_noise
        alpha = model.training_scheduler.alphas_cumprod[draws.timesteps].double()
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * draws.noise
        text, quality = model.encode_prompts(content), model.encode_prompts(["best quality, high quality"])
        f = made.adapter(e, text.states)
        tokens = [model.project(e - e.norm() / f.norm() * f)]
        p = model.predict_noise(noisy, draws.timesteps, model.conditions(quality, tokens))
        pc = model.predict_noise(noisy, draws.timesteps, model.conditions(text, tokens))
        target = draws.noise
        if model.scheduler_config["prediction_type"] == "v_prediction":
            target = alpha.sqrt() * draws.noise - (1 - alpha).sqrt() * latents
        rows.append({"e": e, "f": f, "p": p, "pc": pc, "target": target, "t": draws.timesteps, "x": noisy})
    return {key: torch.cat([row[key] for row in rows]) for key in rows[0]}


@exact
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("adapter", [ImageAdapter, TextAdapter])
def test_step_computes_the_papers_formulas(
    tiny_backbone: Backbone, root: Path, tmp_path: Path, adapter: type[Adapter], kind: str
) -> None:
    backbone = variant(tiny_backbone, tmp_path / "base", "scheduler", {"prediction_type": kind})
    made, recorded = one_step(backbone, root, adapter=adapter, objective=PublishedObjective(), drop=KEEP_ALL)
    parts = by_hand(made, root, recorded.indices[0])
    mse = torch.nn.functional.mse_loss
    reconstruction, contrast = mse(parts["p"], parts["target"]).item(), mse(parts["p"], parts["pc"]).item()
    expected = [reconstruction - 10 * contrast, reconstruction, contrast]
    assert_same(recorded.losses[0], expected)


@exact
def test_both_predictions_are_one_unet_call(tiny_backbone: Backbone, root: Path, calls: list[list[Tensor]]) -> None:
    made, recorded = one_step(tiny_backbone, root, drop=KEEP_ALL)
    [(latents, timesteps, text_states, tokens)] = calls
    assert len(latents) == len(timesteps) == len(text_states) == len(tokens) == 8
    parts = by_hand(made, root, recorded.indices[0])
    assert_same(latents, parts["x"].repeat(2, 1, 1, 1))
    assert timesteps.tolist() == parts["t"].tolist() * 2
    quality = made.model.encode_prompts(["best quality, high quality"]).states
    assert_same(text_states[:4], quality.expand(4, -1, -1))


@exact
@pytest.mark.parametrize("rescale_in_training", [True, False])
@pytest.mark.parametrize("dropped_image", ["zero", "negated"])
def test_tokens_of_dropped_images(
    tiny_backbone: Backbone, root: Path, calls: list[list[Tensor]], rescale_in_training: bool, dropped_image: Any
) -> None:
    arguments = {"rescale_in_training": rescale_in_training, "dropped_image": dropped_image, "strength": 0.7}
    made, _ = one_step(tiny_backbone, root, drop=DROP_IMAGES, **arguments)
    nothing = torch.zeros(8, made.adapter.proj.out_features)
    published = dropped_image == "negated" and not rescale_in_training
    expected = -0.7 * made.adapter(nothing, None) if published else nothing
    assert_same(calls[0][3], made.model.project(expected))


@exact
def test_without_rescaling_in_training_the_raw_f_is_subtracted(
    tiny_backbone: Backbone, root: Path, calls: list[list[Tensor]]
) -> None:
    made, recorded = one_step(tiny_backbone, root, drop=KEEP_ALL, strength=0.7, rescale_in_training=False)
    parts = by_hand(made, root, recorded.indices[0])
    assert_same(calls[0][3][:4], made.model.project(parts["e"] - 0.7 * parts["f"]))
    assert made.condition.settings["rescale"] is True


@exact
def test_dropped_content_is_the_empty_prompt(tiny_backbone: Backbone, root: Path, calls: list[list[Tensor]]) -> None:
    made, _ = one_step(tiny_backbone, root, adapter=TextAdapter, drop=DROP_CONTENTS)
    assert_same(calls[0][2][4:], made.model.encode_prompts([""]).expand(4).states)


@exact
def test_only_the_adapter_trains(tiny_backbone: Backbone, root: Path) -> None:
    made, _ = one_step(tiny_backbone, root)
    names = [f"condition.adapter.{name}" for name in ("proj.weight", "proj.bias", "norm.weight", "norm.bias")]
    assert [name for name, parameter in made.named_parameters() if parameter.requires_grad] == names
    assert [name for name, parameter in made.named_parameters() if parameter.grad is not None] == names
    optimizer = made.optimizers()
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in made.adapter.parameters()]
    assert not any(part.training for part in made.model.modules())


def test_schedule_advances_every_step(tiny_backbone: Backbone, root: Path) -> None:
    made = module(tiny_backbone, lr_scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5))
    trainer(max_steps=2).fit(made, references(root))
    optimizer: Any = made.optimizers()
    assert optimizer.param_groups[0]["lr"] == 1e-2 / 4


@pytest.mark.parametrize(("adapter", "shape"), [(ImageAdapter, (20, 20)), (TextAdapter, (20, 24))])
def test_adapter_has_the_backbones_sizes(tiny_backbone: Backbone, adapter: type[Adapter], shape: tuple[int]) -> None:
    made = module(tiny_backbone, adapter=adapter)
    made.configure_model()
    assert (made.name, made.adapter.proj.weight.shape) == (adapter.name, shape)


def test_a_style_encoder_has_no_feature_for_the_adapters(tiny_backbone: Backbone, root: Path) -> None:
    levels = dataclasses.replace(tiny_backbone, style_encoder="style_aware_encoder.bin")
    with pytest.raises(ValueError, match=r"`style_encoder` is set: .* one image feature .* Leave it out"):
        trainer().fit(AdapterReconstruction(backbone=levels), references(root))


def test_training_that_is_not_finite_ends_with_step_and_batch_and_keeps_what_was_saved(
    tiny_backbone: Backbone, root: Path, tmp_path: Path
) -> None:
    keep, recorded = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_last=True), Recorded()
    schedule = {"lr_scheduler": lambda o: LambdaLR(o, lambda step: 1e35 if step == 1 else 1.0)}
    made = module(tiny_backbone, rescale=False, **schedule)
    run = trainer(keep, recorded, max_steps=6, enable_checkpointing=True)
    with pytest.raises(
        ValueError, match=r"is not finite in step 3, whose batch is '\w+/.*', '\w+/.*'\. The checkpoints"
    ):
        run.fit(made, references(root))
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert all(tensor.isfinite().all() for tensor in state.values())


def test_a_learning_rate_that_a_schedule_spoils_is_refused(tiny_backbone: Backbone, root: Path) -> None:
    made = module(tiny_backbone, lr_scheduler=lambda o: LambdaLR(o, lambda step: torch.nan if step else 1.0))
    with pytest.raises(ValueError, match=r"`lr` must be finite, got \[nan\]"):
        trainer(max_steps=2).fit(made, references(root))


def test_what_is_spoilt_is_not_saved(tiny_backbone: Backbone, root: Path, tmp_path: Path) -> None:
    made, _ = one_step(tiny_backbone, root)
    with torch.no_grad():
        made.adapter.proj.bias[0] = torch.inf
    with pytest.raises(ValueError, match="the state of the training is not finite in step 1"):
        made.trainer.save_checkpoint(tmp_path / "spoilt.ckpt")
    assert not list(tmp_path.iterdir())
