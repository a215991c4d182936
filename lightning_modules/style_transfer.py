"""LightningModules of `validate`, `predict` and `test`, and what the former share with those of `fit`."""

import hashlib
import json
import warnings
from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from lightning import LightningModule
from torch import nn
from typing_extensions import override

from datamodules.batches import JobBatch, PredictionBatch
from lightning_modules.conditions import Condition
from lightning_modules.diffusion.config import Backbone, ReferenceMix, Runtime, SamplingSettings
from lightning_modules.diffusion.unet_inputs import check_precision
from lightning_modules.outputs import JSON, Generations, Predicted
from lightning_modules.picture_generator import PictureGenerator
from lightning_modules.styleshot.detectors import Detector

if TYPE_CHECKING:
    from lightning_modules.diffusion.stable_diffusion import StableDiffusion

_PLAIN = (bool, int, float, str, list, dict, type(None))
_FROZEN = "diffusion."  # what the names of the frozen networks' tensors begin with


class StyleModule(LightningModule, ABC):
    """Evaluates by generating pictures; registers the networks and the condition of its generator.

    The frozen networks are loaded by `configure_model`; they are in no checkpoint and never change.
    """

    def __init__(self, generator: PictureGenerator) -> None:
        super().__init__()
        self._save_plain_hyperparameters()
        self.generator = generator
        self.condition, self.diffusion = generator.condition, generator.diffusion
        self._loaded: dict[str, JSON] = {}
        self.register_state_dict_post_hook(_drop_frozen)
        self.register_load_state_dict_post_hook(_forgive_frozen)

    @property
    def backbone(self) -> Backbone:
        """Names of the frozen weights."""
        return self.generator.backbone

    @property
    def sampling(self) -> SamplingSettings:
        """How pictures are sampled."""
        return self.generator.sampling

    @property
    def model(self) -> "StableDiffusion":
        """The frozen networks."""
        return self.generator.model

    @property
    def reads_content_images(self) -> bool:
        """Whether pictures can follow the lines of a content image."""
        return self.backbone.content_fusion

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name of the method, used in the names of files and runs."""

    @property
    def settings(self) -> dict[str, JSON]:
        """All that decides a picture besides its job: method, frozen weights, precision and sampling."""
        settings: dict[str, JSON] = {
            "method": self.name,
            "condition": {**self.condition.settings, **fingerprint(self.condition)},
            "backbone": {**asdict(self.backbone), **self._loaded},
            "sampling": asdict(self.sampling),
            "mix": asdict(self.generator.mix),
        }
        if self.reads_content_images:  # only then are the detector's weights, which it may name, looked for
            detector = self.generator.content_maps.detector
            settings["detector"] = {"name": detector.name, **detector.settings}
        return {**settings, "precision": str(self._trainer.precision) if self._trainer else "32-true"}

    def use(self, condition: Condition, sampling: SamplingSettings) -> None:
        """Replaces the method, and how pictures are sampled."""
        self.condition, self.generator.sampling = condition, sampling

    def __setattr__(self, name: str, value: Any) -> None:
        """What is registered here is what generates."""
        if name in ("condition", "diffusion"):
            setattr(self.generator, name, value)
        super().__setattr__(name, value)

    def setup(self, stage: str) -> None:
        """Refuses a precision that the device has not."""
        if self._trainer is not None:
            check_precision(self._trainer.strategy.root_device, self.backbone)

    @override
    def configure_model(self) -> None:
        is_new = self.generator.diffusion is None
        self.diffusion = self.generator.load()
        if is_new:
            self._loaded = {"weights": loaded_fingerprint(self.diffusion)}

    def is_frozen(self, key: str) -> bool:
        """Whether a tensor of this name comes from the backbone and belongs into no checkpoint."""
        return key.startswith(_FROZEN)

    def validation_step(self, batch: JobBatch, batch_idx: int) -> Generations:  # type: ignore[override]
        """Generates a batch of the evaluation set."""
        return self.generator.generate(batch)

    def _save_plain_hyperparameters(self) -> None:
        """Saves what the CLI was given, or else the plain arguments, of a checkpoint that loads `weights_only`."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Attribute .* is an instance of `nn.Module`")
            self.save_hyperparameters()
        loadable = torch.serialization.get_safe_globals()
        plain = {k for k, value in self.hparams.items() if isinstance(value, _PLAIN) or type(value) in loadable}
        self.remove_ignored_hparams([key for key in self.hparams if key not in plain - {"runtime"}])


class StyleTransfer(StyleModule):
    """Generates pictures in the style of a reference, whose image feature a condition has edited.

    Args:
        condition: the method that edits the image feature.
        backbone: names of the frozen weights.
        sampling: how pictures are sampled.
        mix: how several references of one picture come together.
        runtime: how the networks run, which decides no picture.
        detector: draws the lines of content images that their pictures follow; None: that of the backbone's
            `content_lines`.
        map_folder: keeps these lines from run to run; None: each run draws them once.
    """

    def __init__(
        self,
        condition: Condition,
        backbone: Backbone = Backbone(),
        sampling: SamplingSettings = SamplingSettings(),
        mix: ReferenceMix = ReferenceMix(),
        runtime: Runtime = Runtime(),
        detector: Detector | None = None,
        map_folder: str | None = None,
    ) -> None:
        super().__init__(PictureGenerator(condition, backbone, sampling, mix, runtime, detector, map_folder))

    @property
    @override
    def name(self) -> str:
        """That of the condition, image-driven with the detector: "masking", "masking_contour"."""
        detector = f"_{self.generator.content_maps.detector.name}" if self.reads_content_images else ""
        return f"{self.condition.name}{detector}"

    def generate(self, batch: JobBatch) -> Generations:
        """Generates the picture of each job."""
        return self.generator.generate(batch)

    def test_step(self, batch: JobBatch, batch_idx: int) -> Generations:  # type: ignore[override]
        """Generates a batch of the evaluation set."""
        return self.generator.generate(batch)

    def predict_step(self, batch: JobBatch, batch_idx: int) -> Generations:
        """Generates a batch of the whole test set."""
        return self.generator.generate(batch)


class Scoring(LightningModule):
    """The module of `maskst test`: hands pictures that were generated before to the callbacks that score them."""

    def test_step(self, batch: PredictionBatch, batch_idx: int) -> Predicted:  # type: ignore[override]
        """The pictures of the batch, each beside its reference."""
        references = [batch["references"][prediction.reference_path] for prediction in batch["predictions"]]
        return Predicted(**{**batch, "references": references})  # type: ignore[arg-type]


def fingerprint(condition: nn.Module) -> dict[str, JSON]:
    """A hash of a trained condition's weights, which decide the picture too."""
    state = condition.state_dict()
    if not state:
        return {}
    digest = hashlib.sha256()
    for key, tensor in state.items():
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().double().numpy().tobytes())
    return {"weights_sha256": digest.hexdigest()}


def loaded_fingerprint(diffusion: "StableDiffusion") -> str:
    """A hash of what was loaded, wherever it lies: settings, and the name, shape and 64 elements of each tensor."""
    networks = [
        {key: value for key, value in network.config.items() if not key.startswith("_")}  # such as where it lay
        for network in (diffusion.unet, diffusion.vae)
    ]
    digest = hashlib.sha256(json.dumps([diffusion.scheduler_config, *networks], sort_keys=True, default=str).encode())
    for key, tensor in diffusion.state_dict().items():
        elements = tensor.detach().reshape(-1)
        digest.update(f"{key} {tuple(tensor.shape)}".encode())
        digest.update(elements[:: max(1, len(elements) // 64)].cpu().double().numpy().tobytes())
    return digest.hexdigest()


def _drop_frozen(module: StyleModule, state: dict[str, Any], prefix: str, _metadata: dict[str, Any]) -> None:
    """Frozen weights come from the backbone, never from a checkpoint; nor does torch's record of their modules."""
    for key in [key for key in state if key.startswith(prefix) and module.is_frozen(key.removeprefix(prefix))]:
        del state[key]
    record = getattr(state, "_metadata", {})
    for key in [key for key in record if f"{key}.".startswith(f"{prefix}{_FROZEN}")]:
        del record[key]


def _forgive_frozen(module: StyleModule, incompatible: Any) -> None:
    """Only frozen weights may be missing; strict loading stays strict about all others."""
    incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if not module.is_frozen(key)]
