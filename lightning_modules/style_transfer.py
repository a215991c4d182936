"""LightningModule of `validate`, `test` and `predict`: references and prompts to pictures."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from lightning import LightningModule
from torch import Tensor, nn

from datamodules.batches import JobBatch
from lightning_modules.conditions import Condition, Conditioned
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.outputs import JSON, Generations

if TYPE_CHECKING:
    from lightning_modules.diffusion.stable_diffusion import StableDiffusion

T = TypeVar("T")
_FROZEN = "diffusion."
_PLAIN = (bool, int, float, str, list, dict, type(None))


class StyleTransfer(LightningModule):
    """Generates pictures in the style of a reference, whose image feature a condition has edited.

    The frozen networks are loaded by `configure_model`; they are in no checkpoint and never change.

    Args:
        condition: the method that edits the image feature.
        backbone: names of the frozen weights.
        sampling: how pictures are sampled.
    """

    def __init__(
        self,
        condition: Condition,
        backbone: Backbone = Backbone(),
        sampling: SamplingSettings = SamplingSettings(),
    ) -> None:
        super().__init__()
        self._save_plain_hyperparameters()
        self.condition = condition
        self.backbone = backbone
        self.sampling = sampling
        self.diffusion: StableDiffusion | None = None
        self._memory = EncodedOnce()
        self.register_state_dict_post_hook(_drop_frozen)
        self.register_load_state_dict_post_hook(_forgive_frozen)

    @property
    def name(self) -> str:
        """Short name of the method, used in the names of files and runs."""
        return self.condition.name

    @property
    def settings(self) -> dict[str, JSON]:
        """All that decides a picture besides its job: method, frozen weights, precision and sampling."""
        return {
            "method": self.name,
            "condition": {**self.condition.settings, **_fingerprint(self.condition)},
            "backbone": asdict(self.backbone),
            "sampling": asdict(self.sampling),
            "precision": str(self._trainer.precision) if self._trainer else "32-true",
        }

    def configure_model(self) -> None:
        """Loads the frozen networks, once."""
        if self.diffusion is None:
            from lightning_modules.diffusion.stable_diffusion import StableDiffusion

            self.diffusion = StableDiffusion.load(self.backbone)

    def setup(self, stage: str) -> None:
        """Forgets what was encoded in an earlier run, perhaps of other data or on another device."""
        self._memory = EncodedOnce()

    @property
    def model(self) -> "StableDiffusion":
        """The frozen networks.

        Raises:
            RuntimeError: they are not loaded yet.
        """
        if self.diffusion is None:
            raise RuntimeError(
                "`diffusion` is not loaded yet. Run the module by a Trainer, or call `configure_model()` first."
            )
        return self.diffusion

    def generate(self, batch: JobBatch) -> Generations:
        """Generates the picture of each job: `(batch, 3, height, width)`, float32 in 0 .. 1."""
        from lightning_modules.diffusion.sampling import sample

        jobs, conditioned = batch["jobs"], self._conditioned(batch)
        images = sample(
            self.model,
            self.sampling,
            text_states=self._prompts([f"{job.prompt}{self.sampling.prompt_suffix}" for job in jobs]),
            features=conditioned.feature,
            seeds=[job.seed for job in jobs],
            negative_states=self._prompts([self.sampling.negative_prompt]),
        )
        share = conditioned.share_masked
        return Generations(
            images=images,
            jobs=jobs,
            references=batch["images"],
            share_masked=None if share is None else share.reshape(len(jobs), -1).mean(1),
            keep_mask=conditioned.keep_mask,
        )

    def validation_step(self, batch: JobBatch, batch_idx: int) -> Generations:  # type: ignore[override]
        """Generates a batch of the evaluation set."""
        return self.generate(batch)

    def test_step(self, batch: JobBatch, batch_idx: int) -> Generations:  # type: ignore[override]
        """Generates a batch of the evaluation set."""
        return self.generate(batch)

    def predict_step(self, batch: JobBatch, batch_idx: int) -> Generations:
        """Generates a batch of the whole test set."""
        return self.generate(batch)

    @torch.no_grad()
    def _conditioned(self, batch: JobBatch) -> Conditioned:
        """The edited feature of each job; a reference that several jobs share is edited once."""
        references = {job.reference.key: job.reference for job in batch["jobs"]}
        images = {job.reference.key: image for job, image in zip(batch["jobs"], batch["images"], strict=True)}
        contents = [reference.content for reference in references.values()]
        image_feature = self._memory("image", list(images), list(images.values()), self.model.encode_images)
        text_feature = self._memory("content", contents, contents, self.model.encode_contents)
        text_states = self._prompts(contents)
        # Mixed precision is for the large networks: a mask or an adapter costs nothing and shall not be rounded.
        with torch.autocast(image_feature.device.type, enabled=False):
            edited: Conditioned = self.condition(image_feature, text_feature, text_states)
        place = {key: row for row, key in enumerate(references)}
        rows = torch.tensor([place[job.reference.key] for job in batch["jobs"]], device=edited.feature.device)
        keep_mask, share_masked = (None if part is None else part[rows] for part in edited[1:])
        return Conditioned(edited.feature[rows], keep_mask, share_masked)

    def _prompts(self, prompts: list[str]) -> Tensor:
        return self._memory("prompt", prompts, prompts, self.model.encode_prompts)

    def _save_plain_hyperparameters(self) -> None:
        """Saves what the CLI was given, or, without it, the plain arguments: checkpoints must load `weights_only`."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Attribute .* is an instance of `nn.Module`")
            self.save_hyperparameters()
        loadable = torch.serialization.get_safe_globals()
        plain = {k for k, value in self.hparams.items() if isinstance(value, _PLAIN) or type(value) in loadable}
        self.remove_ignored_hparams([key for key in self.hparams if key not in plain])


class EncodedOnce:
    """Encodes each item once, all new ones of a call together, and keeps the results."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Tensor] = {}

    def __call__(
        self, kind: str, keys: Sequence[str], items: Sequence[T], encode: Callable[[list[T]], Tensor]
    ) -> Tensor:
        """Encodings `(len(keys), ...)` of `items`, which `keys` name within `kind`."""
        new = {key: item for key, item in zip(keys, items, strict=True) if (kind, key) not in self._kept}
        if new:
            encoded = encode(list(new.values()))
            self._kept.update(((kind, key), row) for key, row in zip(new, encoded, strict=True))
        return torch.stack([self._kept[kind, key] for key in keys])


def _fingerprint(condition: nn.Module) -> dict[str, JSON]:
    """A hash of a trained condition's weights, which decide the picture too."""
    state = condition.state_dict()
    if not state:
        return {}
    digest = hashlib.sha256()
    for key, tensor in state.items():
        digest.update(key.encode())
        digest.update(tensor.detach().double().cpu().numpy().tobytes())
    return {"weights_sha256": digest.hexdigest()}


def _drop_frozen(_module: nn.Module, state: dict[str, Any], prefix: str, _metadata: dict[str, Any]) -> None:
    """Frozen weights come from the backbone, never from a checkpoint."""
    for key in [key for key in state if key.startswith(f"{prefix}{_FROZEN}")]:
        del state[key]


def _forgive_frozen(_module: nn.Module, incompatible: Any) -> None:
    """Only frozen weights may be missing; strict loading stays strict about all others."""
    incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if not key.startswith(_FROZEN)]
