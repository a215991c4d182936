"""Both stages of StyleShot's training: one step against its formula, what is trained, what is refused."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from torch import Tensor

from lightning_modules.diffusion.config import Backbone, Runtime
from lightning_modules.diffusion.unet_inputs import ContentMap
from lightning_modules.objectives import DropRates, FusionDropRates, draw, patch_orders
from lightning_modules.styleshot.detectors import EdgeDetector
from lightning_modules.styleshot.pyramid import centre_crop
from lightning_modules.styleshot_reconstruction import StyleShotReconstruction
from lightning_modules.styleshot_training import ContentFusionReconstruction, StyleEncoderReconstruction
from tests.fitting import trainer
from tests.float64 import assert_same
from tests.styleshot import STAGES, Losses, captions, module, still, trained_state, write_captions, write_styleshot
from tests.tiny import randomised
from tests.unit.lightning_modules.styleshot.reference import encode, public_shapes
from tests.unit.lightning_modules.styleshot.test_weights import NAMES

UNUSED = "image_encoder.vision_model.embeddings."
PROJECTION = {
    f"diffusion.image_projection.heads.{level}.{part}.{kind}"
    for level in range(3)
    for part in ("proj", "norm")
    for kind in ("weight", "bias")
}
ATTENTION = {f"diffusion.unet.{name}.processor.to_{kind}_ip.0.weight" for name in NAMES for kind in "kv"}
ENCODER = {f"diffusion.image_encoder.{key}" for key in public_shapes()}
DROPS = [{"style"}, {"text"}, {"style", "text"}, {"lines"}, {"style", "text", "lines"}, set()]
both_stages = pytest.mark.parametrize("stage", STAGES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_captions(tmp_path_factory.mktemp("captions"))


@pytest.fixture(scope="module")
def styleshot(tiny_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return write_styleshot(tmp_path_factory.mktemp("styleshot"), tiny_backbone)


def by_hand(made: StyleShotReconstruction, folder: Path, indices: list[int], fused: bool) -> Tensor:
    """The weighted error of each sample, by diffusers' own IP-Adapter path and the definition of the style encoder."""
    model: Any = made.model
    unet, encoder = model.unet, {key: tensor.detach() for key, tensor in model.image_encoder.state_dict().items()}
    unet.encoder_hid_proj = MultiIPAdapterImageProjection([model.image_projection])
    unet.register_to_config(encoder_hid_dim_type="ip_image_proj")
    train_set, errors = captions(folder).train_set, []
    for index in indices:
        draws = draw(made.seed, 0, [index], (4, 8, 8), 1000)
        alpha, u = float(model.training_scheduler.alphas_cumprod[draws.timesteps]), draws.u.item()
        pixels = torch.tensor(np.asarray(train_set.image(index)))[None, :, 4:20].permute(0, 3, 1, 2) / 127.5 - 1
        moments = model.vae.encode(pixels.double()).latent_dist
        latents = (moments.mean + moments.std * draws.latent_noise) * model.vae.config.scaling_factor
        noisy = alpha**0.5 * latents + (1 - alpha) ** 0.5 * draws.noise
        dropped = DROPS[int(u * 6)] if fused or u < 0.5 else set()
        orders = [order[0].tolist() for order in patch_orders(made.seed, 0, [index], (8, 16, 32))]
        features = torch.from_numpy(encode(encoder, centre_crop(train_set.image(index), 128), orders)).float()[None]
        features = torch.zeros_like(features) if "style" in dropped else features
        caption = "" if "text" in dropped else train_set.references[index].content
        residuals = {}
        if fused:
            lines = train_set.content_map(index) or EdgeDetector()(train_set.image(index))
            map_pixels = torch.tensor(np.asarray(lines))[None, :, 4:20].permute(0, 3, 1, 2).double() / 255
            map_pixels = torch.zeros_like(map_pixels) if "lines" in dropped else map_pixels
            tokens = torch.cat([head(features[:, i]) for i, head in enumerate(model.image_projection.heads)], dim=1)
            down, mid = model.controlnet(noisy, draws.timesteps, tokens, map_pixels, return_dict=False)
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        text = model.encode_prompts([caption]).states
        told = {"image_embeds": [features[:, None]]}
        noise = unet(noisy, draws.timesteps, text, added_cond_kwargs=told, **residuals).sample
        snr = alpha / (1 - alpha)
        weight = min(5 / snr, 1) * min(1 + 1 / snr, 10)
        errors.append(weight * torch.nn.functional.mse_loss(noise, draws.noise))
    unet.encoder_hid_proj = None
    unet.register_to_config(encoder_hid_dim_type=None)
    return torch.stack(errors)


@both_stages
@pytest.mark.usefixtures("float64")
def test_step_computes_the_weighted_error(stage: Any, styleshot: Backbone, folder: Path) -> None:
    fused = stage is ContentFusionReconstruction
    drop = FusionDropRates(*[1 / 6] * 5) if fused else DropRates(*[1 / 6] * 3)
    weights = {"snr_gamma": 5.0, "noisy_weight": 10.0, "drop": drop, "optimizer": still}
    made, recorded = module(stage, styleshot, **weights), Losses()
    made.configure_model()
    if fused:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            randomised(made.model.controlnet)  # a new one has no effect
    trainer(recorded, precision="64-true").fit(made, captions(folder, batch_size=11))
    [indices] = recorded.indices
    u = draw(42, 0, indices, (4, 8, 8), 1000).u
    assert set((u * 6).long().tolist()) == set(range(6)), "each is dropped alone and with others"
    assert not fused or {index % 3 == 0 for index in indices} == {True, False}, "maps are given and drawn"
    with torch.no_grad():
        expected = by_hand(made, folder, indices, fused).mean().item()
    assert_same([*recorded.losses, *recorded.logged], [expected, expected])


@both_stages
def test_patches_are_read_in_the_order_of_their_sample(stage: Any, styleshot: Backbone, folder: Path) -> None:
    made = module(stage, styleshot, cache_features=True)
    made.configure_model()
    data = captions(folder).train_set
    batch: Any = {"references": data.references[:2], "images": [data.image(index) for index in range(2)]}
    weights = {key: tensor.detach() for key, tensor in made.model.image_encoder.state_dict().items()}
    orders = [[order[row].tolist() for order in patch_orders(42, 0, [0, 1], (8, 16, 32))] for row in range(2)]
    pixels = [centre_crop(image, 128) for image in batch["images"]]
    expected = np.stack([encode(weights, *each) for each in zip(pixels, orders, strict=True)])
    canonical = np.stack([encode(weights, each) for each in pixels])
    difference = np.abs(expected - canonical).max()
    for shuffle, features in ((True, expected), (False, canonical)):
        made.shuffle_patches = shuffle
        assert np.abs(made.style_features(batch).detach().numpy() - features).max() < 1e-3 * difference


@pytest.mark.parametrize(
    ("stage", "anew", "clip"),
    [(STAGES[0], True, True), (STAGES[0], False, True), (STAGES[0], True, False), (STAGES[1], False, False)],
)
def test_only_the_stages_own_parameters_train_and_are_saved(
    stage: Any, anew: bool, clip: bool, tiny_backbone: Backbone, styleshot: Backbone, folder: Path, tmp_path: Path
) -> None:
    first = stage is StyleEncoderReconstruction
    made = module(stage, tiny_backbone if anew else styleshot, **({"freeze_clip": not clip} if first else {}))
    made.configure_model()
    controlnet = set() if first else {f"diffusion.controlnet.{key}" for key in made.model.controlnet.state_dict()}
    frozen = UNUSED if clip else "diffusion.image_encoder.image_encoder."
    learnt = {name for name in ENCODER if frozen not in name} | PROJECTION | ATTENTION if first else controlnet
    assert {name for name, parameter in made.named_parameters() if parameter.requires_grad} == learnt
    before = {key: tensor.clone() for key, tensor in made.model.state_dict().items()}
    run = trainer()
    run.fit(made, captions(folder))
    parameters = dict(made.named_parameters())
    assert {name for name, parameter in parameters.items() if parameter.grad is not None} == learnt
    groups = [id(parameter) for group in run.optimizers[0].param_groups for parameter in group["params"]]
    assert sorted(groups) == sorted(id(parameters[name]) for name in learnt)
    after = made.model.state_dict()
    changed = {f"diffusion.{key}" for key in before if not torch.equal(before[key], after[key])}
    assert changed <= learnt and len(changed) > (0.9 * len(learnt) if first else 10)
    assert not any(part.training for part in made.model.modules())
    run.save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert set(content["state_dict"]) == (ENCODER if first else controlnet) | PROJECTION | ATTENTION
    assert len(content["optimizer_states"][0]["state"]) == len(learnt)
    lines = {} if first else {"content_lines": None}  # some maps were given
    assert content["styleshot"] == {"layers": NAMES, "heads": 2 if anew else 4, **lines}
    if not first:
        made._given_maps = False
        made.on_save_checkpoint(content)
        assert content["styleshot"]["content_lines"] == "edges"


def test_a_new_content_fusion_starts_from_the_unet_and_changes_nothing(styleshot: Backbone) -> None:
    made = module(ContentFusionReconstruction, styleshot)
    made.configure_model()
    model: Any = made.model
    own, new = model.unet.state_dict(), model.controlnet.state_dict()
    shared = [key for key in new if key in own]
    assert all(torch.equal(new[key], own[key]) for key in shared)
    parts = {f"controlnet_{part}" for part in ("cond_embedding", "down_blocks", "mid_block")}
    assert len(shared) > 50 and {key.split(".")[0] for key in set(new) - set(shared)} == parts
    tokens = model.project(torch.randn(2, 3, 20))
    told = model.conditions(model.encode_prompts(["A cat", "A dog"]), [tokens])
    lines = ContentMap(torch.rand(2, 3, 16, 16), tokens, 1.0)
    latents, steps = torch.randn(2, 4, 8, 8), torch.tensor([3, 800])
    fused = model.predict_noise(latents, steps, told._replace(content_map=lines))
    assert torch.equal(fused, model.predict_noise(latents, steps, told))


def test_training_goes_on_from_the_content_fusion_of_the_backbone(styleshot: Backbone, tmp_path: Path) -> None:
    first = module(ContentFusionReconstruction, styleshot, seed=7)
    first.configure_model()
    weights = {f"controlnet.{key}": tensor for key, tensor in randomised(first.model.controlnet).state_dict().items()}
    torch.save(torch.load(str(styleshot.ip_adapter)) | weights, tmp_path / "ip.bin")
    made = module(
        ContentFusionReconstruction, replace(styleshot, ip_adapter=str(tmp_path / "ip.bin"), content_fusion=True)
    )
    made.configure_model()
    trained = trained_state(made)
    assert set(trained) == {f"diffusion.{key}" for key in weights}
    assert all(torch.equal(trained[f"diffusion.{key}"], weights[key]) for key in weights)


@both_stages
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_weights_are_refused_before_they_are_loaded(
    stage: Any, dtype: Any, styleshot: Backbone, folder: Path
) -> None:
    nowhere = replace(styleshot, model="no/such/model", dtype=dtype)
    message = f"`dtype` of the backbone is {dtype}, .*--model.backbone.dtype float32.*--trainer.precision bf16-mixed"
    with pytest.raises(ValueError, match=message):
        trainer().fit(stage(backbone=nowhere), captions(folder))


def test_a_style_encoder_that_would_leave_the_accelerator_is_refused(tiny_backbone: Backbone, folder: Path) -> None:
    made = StyleEncoderReconstruction(replace(tiny_backbone, model="no/such/model"), runtime=Runtime(offload=True))
    with pytest.raises(ValueError, match=r"`offload` .* style encoder .*; `gradient_checkpointing`"):
        trainer().fit(made, captions(folder))


def test_wrong_sizes_of_the_map_channels_are_named(styleshot: Backbone, folder: Path) -> None:
    made = module(ContentFusionReconstruction, styleshot, map_channels=(4, 8, 8))
    with pytest.raises(ValueError, match=re.escape("`map_channels` must be 2 numbers")):
        made.configure_model()


def test_the_detector_is_told_in_the_second_stage() -> None:
    backbone = Backbone(style_encoder="a.bin")
    for lines, name in ((None, "edges"), ("edges", "edges"), ("contour", "contour"), ("lineart", "lineart")):
        made = ContentFusionReconstruction(replace(backbone, content_lines=lines))
        assert made.generator.content_maps.detector.name == name
    assert "detector" not in StyleEncoderReconstruction(backbone).settings
