"""What all training has in common: chosen parameters beside frozen networks, and means over all processes."""

import warnings
from abc import abstractmethod
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from datamodules.batches import check_seed
from lightning_modules.conditions import Condition
from lightning_modules.diffusion.config import Backbone, Runtime, SamplingSettings
from lightning_modules.draws import DropRates
from lightning_modules.style_transfer import StyleTransfer


class Reconstruction(StyleTransfer):
    """Base of the modules of `fit`, which learn to reconstruct images; validates by generating with what is learnt.

    Args:
        condition: the method by which pictures are generated.
        backbone: names of the frozen weights.
        sampling: how pictures are sampled in validation.
        optimizer: optimizer of the trained parameters.
        lr_scheduler: schedule of the learning rate, advanced every step.
        drop: how often the image, its text or both are dropped.
        gradient_checkpointing: recompute the UNet's activations in the backward pass, to save memory.
        seed: seed of all first weights and of all that is drawn in training, at least 0.
        runtime: how the networks run.
        kwargs: further arguments of `StyleTransfer`.
    """

    def __init__(
        self,
        condition: Condition,
        backbone: Backbone,
        sampling: SamplingSettings,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
        drop: DropRates,
        gradient_checkpointing: bool,
        seed: int,
        runtime: Runtime,
        **kwargs: Any,
    ) -> None:
        super().__init__(condition, backbone, sampling, runtime=runtime, **kwargs)
        check_seed(seed)
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.drop, self.gradient_checkpointing, self.seed = drop, gradient_checkpointing, seed
        self._built = False

    @abstractmethod
    def build(self) -> None:
        """Make what is trained, in the sizes of the loaded networks, and let its parameters take gradients."""

    def configure_model(self) -> None:
        """Load the frozen networks and build what is trained, once.

        Raises:
            ValueError: the base cannot be trained on.
        """
        super().configure_model()
        if self._built:
            return
        self._check_base()
        self.build()
        self._built = True
        frozen = [name for name, parameter in self.named_parameters() if not parameter.requires_grad]
        frozen += [name for name, _ in self.named_buffers() if name.startswith("diffusion.")]
        # Frozen weights are the same on all processes: nothing of them is to be sent about.
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, frozen)
        if self.gradient_checkpointing:
            self.model.unet.enable_gradient_checkpointing()

    def _check_base(self) -> None:
        from lightning_modules.diffusion.schedulers import check_for_training

        if self.model.embeds_guidance:
            raise ValueError(
                "`model` embeds its guidance (`time_cond_proj_dim`): it was distilled to need few steps, and `fit` "
                "trains on single noise levels. Train on the base that it was distilled from; the adapter fits both."
            )
        check_for_training(self.model.training_scheduler, self.sampling)

    @property
    def trained_parameters(self) -> list[nn.Parameter]:
        """The parameters that take gradients."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer of the trained parameters, and the schedule by steps.

        Raises:
            ValueError: the parameters are held in half precision.
        """
        parameters = self.trained_parameters
        if wrong := {parameter.dtype for parameter in parameters} - {torch.float32}:
            raise ValueError(
                f"`precision` of the Trainer made the trained weights {wrong.pop()}, whose rounding swallows the steps "
                'of the optimizer; expected float32. Use "32-true", or "bf16-mixed" or "16-mixed", with the '
                "backbone's `dtype` for half-precision frozen weights."
            )
        optimizer = self.optimizer(parameters)
        if self.lr_scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.lr_scheduler(optimizer), "interval": "step"},
        }

    def on_fit_start(self) -> None:
        """Keep Lightning from taking frozen networks in evaluation mode for a mistake."""
        warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")

    @property
    def _n_timesteps(self) -> int:
        return int(self.model.training_scheduler.config.num_train_timesteps)

    def _joint_means(self, sums: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Means of a batch for the backward pass, and the means over all processes.

        The former are weighted so that the gradients that the processes average are those of the joint batch: the
        last batch of an epoch may be larger on some processes than on others.

        Args:
            sums: `(k,)`, each the sum over the `rows` samples of this process.
            rows: samples of this process.
        """
        world_size = self.trainer.world_size
        if world_size == 1:
            means = sums / rows
            return means, means.detach()
        gathered: Any = self.all_gather(torch.cat([sums.detach(), sums.new_tensor([rows])]))
        *totals, total_rows = gathered.sum(0).unbind()
        return sums * world_size / total_rows, torch.stack(totals) / total_rows
