"""What all training has in common: first weights, optimizer, precision, memory, checkpoints, bases."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from lightning import Callback, LightningModule, Trainer

import tests.fitting
import tests.styleshot
from datamodules.batches import ReferenceSource
from datamodules.style_references import StyleReferences
from lightning_modules.adapter_training import AdapterReconstruction, EncodedSet
from lightning_modules.diffusion.config import Backbone, Runtime, SamplingSettings
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.styleshot_training import ContentFusionReconstruction, StyleEncoderReconstruction
from tests.fitting import references, trainer
from tests.float64 import assert_same
from tests.styleshot import captions, still, trained_state, write_captions, write_styleshot
from tests.unit.lightning_modules.diffusion.stock import variant

NAMES = {
    AdapterReconstruction: "image_adapter",
    StyleEncoderReconstruction: "style_encoder",
    ContentFusionReconstruction: "content_fusion",
}
SIZES: dict[Any, Any] = {
    AdapterReconstruction: {},
    StyleEncoderReconstruction: {"patches": tests.styleshot.PATCHES},
    ContentFusionReconstruction: {"map_channels": tests.styleshot.MAP_CHANNELS},
}
every_kind = pytest.mark.parametrize("kind", list(NAMES))


class Training:
    """Modules and data of each kind."""

    def __init__(self, tiny_backbone: Backbone, root: Path) -> None:
        (root / "captions").mkdir()
        self.root, self.captions = root / "object", write_captions(root / "captions")
        self.backbones = dict.fromkeys(NAMES, tiny_backbone)
        self.backbones[ContentFusionReconstruction] = write_styleshot(root, tiny_backbone)

    def module(self, kind: Any, **arguments: Any) -> Any:
        """A module with networks of its own."""
        if kind is not AdapterReconstruction:
            return tests.styleshot.module(kind, self.backbones[kind], **arguments)
        made = tests.fitting.module(self.backbones[kind], **arguments)
        made.diffusion = deepcopy(made.diffusion)
        return made

    def data(self, kind: Any) -> StyleReferences:
        """What it is trained on, four references a batch."""
        return references(self.root) if kind is AdapterReconstruction else captions(self.captions)


@pytest.fixture(scope="module")
def training(tiny_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Training:
    return Training(tiny_backbone, tmp_path_factory.mktemp("training"))


class Loss(Callback):
    """Keeps the loss of the last step."""

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, i: int) -> None:
        self.last = outputs["loss"].item()


@every_kind
def test_names_and_default_optimizer(kind: Any, training: Training) -> None:
    made = kind(backbone=training.backbones[kind], runtime=Runtime(offload=True))
    assert made.name == NAMES[kind]
    [group] = made.optimizer([torch.nn.Parameter(torch.zeros(1))]).param_groups
    assert (group["lr"], group["weight_decay"], group["betas"]) == (1e-5, 1e-2, (0.9, 0.999))
    assert "runtime" not in made.hparams, "how networks run is in no checkpoint"


@every_kind
def test_first_weights_depend_on_the_seed_alone(kind: Any, training: Training) -> None:
    chance, states = torch.random.get_rng_state(), []
    for seed, noise in ((1, 5), (1, 6), (2, 5)):
        torch.manual_seed(noise)
        made = training.module(kind, seed=seed)
        made.configure_model()
        before, diffusion = trained_state(made), made.diffusion
        made.configure_model()
        assert made.diffusion is diffusion, "the second call builds nothing"
        states.append(trained_state(made))
        assert all(torch.equal(before[key], states[-1][key]) for key in before)
    torch.random.set_rng_state(chance)
    one, same, other = states
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@every_kind
@pytest.mark.usefixtures("float64")
def test_gradient_checkpointing_gives_the_same_gradients(kind: Any, training: Training) -> None:
    gradients = []
    for checkpointing in (False, True):
        made = training.module(kind, gradient_checkpointing=checkpointing, optimizer=still)
        trainer(precision="64-true").fit(made, training.data(kind))
        networks = [made.model.unet] + [made.model.controlnet] * (kind is ContentFusionReconstruction)
        assert all(network.is_gradient_checkpointing == checkpointing for network in networks)
        gradients.append({name: p.grad for name, p in made.named_parameters() if p.grad is not None})
    assert_same(gradients[1], gradients[0])


@every_kind
def test_mixed_precision_keeps_trained_weights_in_float32(kind: Any, training: Training) -> None:
    losses = []
    for precision in ("bf16-mixed", "32-true"):
        made, recorded = training.module(kind, optimizer=still), Loss()
        trainer(recorded, precision=precision).fit(made, training.data(kind))
        assert {tensor.dtype for tensor in trained_state(made).values()} == {torch.float32}
        losses.append(recorded.last)
    assert losses[0] == pytest.approx(losses[1], rel=0.06)
    with pytest.raises(ValueError, match=r"`precision` .* torch.bfloat16.* expected float32.* \"bf16-mixed\""):
        trainer(precision="bf16-true").fit(training.module(kind), training.data(kind))


@every_kind
def test_a_checkpoint_builds_the_module_again_and_a_misspelt_key_is_refused(
    kind: Any, training: Training, tmp_path: Path
) -> None:
    made, run = training.module(kind, seed=9), trainer()
    run.fit(made, training.data(kind))
    run.save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    if kind is not AdapterReconstruction:  # whose sizes are the backbone's, which is not loaded then
        loaded = kind.load_from_checkpoint(tmp_path / "a.ckpt", **SIZES[kind])
        assert (loaded.backbone, loaded.seed) == (training.backbones[kind], 9)
        ours, theirs = trained_state(loaded), trained_state(made)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs) and set(ours) == set(theirs)
    state, key = content["state_dict"], next(iter(trained_state(made)))
    state[f"{key}_misspelt"] = state.pop(key)
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises((ValueError, RuntimeError), match=r"(?s)[Mm]issing .*_misspelt"):
        trainer(max_steps=2).fit(training.module(kind), training.data(kind), ckpt_path=tmp_path / "a.ckpt")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["lr", "weight_decay"])
def test_optimizers_with_numbers_that_are_none_are_refused(training: Training, name: str, value: float) -> None:
    made = training.module(AdapterReconstruction, optimizer=lambda p: torch.optim.AdamW(p, **{"lr": 1e-3, name: value}))
    made.configure_model()
    with pytest.raises(ValueError, match=f"`optimizer` cannot be made .*{value}|`{name}` must be finite, got {value}"):
        made.configure_optimizers()


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("unet", {"time_cond_proj_dim": 6}, "`model` embeds its guidance .* Train on the base"),
        ("scheduler", {"_class_name": "EDMEulerScheduler", "beta_schedule": ...}, "`model` has the scheduler EDMEuler"),
        ("scheduler", {"prediction_type": "flow_prediction"}, "`model` predicts 'flow_prediction' .*epsilon, v_pred"),
    ],
)
def test_a_base_that_was_trained_otherwise_is_refused(
    training: Training, tiny_backbone: Backbone, tmp_path: Path, part: str, changes: dict[str, Any], message: str
) -> None:
    backbone = variant(tiny_backbone, tmp_path / "base", part, changes)
    if part == "unet":
        UNet2DConditionModel(**UNet2DConditionModel.load_config(f"{backbone.model}/unet")).save_pretrained(
            f"{backbone.model}/unet"
        )
    sampling = SamplingSettings("EDMEulerScheduler" if "_class_name" in changes else "UniPCMultistepScheduler", steps=2)
    with pytest.raises(ValueError, match=message):
        trainer().fit(AdapterReconstruction(backbone=backbone, sampling=sampling), training.data(AdapterReconstruction))


def test_how_the_model_was_trained_is_no_option_of_sampling(training: Training, tiny_backbone: Backbone) -> None:
    sampling = SamplingSettings(steps=2, scheduler_options={"prediction_type": "v_prediction"})
    with pytest.raises(ValueError, match="`scheduler_options` sets prediction_type, .*scheduler_config.json"):
        trainer().fit(
            AdapterReconstruction(backbone=tiny_backbone, sampling=sampling), training.data(AdapterReconstruction)
        )


@pytest.mark.parametrize("offload", [False, True])
def test_networks_move_only_when_asked_to(
    training: Training, tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch, offload: bool
) -> None:
    made = training.module(AdapterReconstruction)
    made.diffusion = StableDiffusion.load(tiny_backbone, Runtime(offload=offload))
    encode, moved = AdapterReconstruction._encode, []

    def then_watched(self: AdapterReconstruction, source: ReferenceSource) -> EncodedSet:
        encoded = encode(self, source)
        monkeypatch.setattr(made.model.unet, "to", lambda place: moved.append(str(place)) or made.model.unet)
        return encoded

    monkeypatch.setattr(AdapterReconstruction, "_encode", then_watched)
    trainer().fit(made, training.data(AdapterReconstruction))
    assert moved[:1] == ([str(made.model.device)] if offload else []), "brought back for the first step"


def test_noisy_inputs_of_velocities_weigh_more_by_themselves(
    training: Training, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    backbone = variant(tiny_backbone, tmp_path / "base", "scheduler", {"prediction_type": "v_prediction"})
    with pytest.raises(ValueError, match="`noisy_weight` is 3.0, .* predicts 'v_prediction'.* Leave it at 1"):
        StyleEncoderReconstruction(backbone=backbone, noisy_weight=3.0).configure_model()
