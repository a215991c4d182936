"""What all training has in common: chosen parameters beside frozen networks, and means over all processes."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer
from typing_extensions import override

from datamodules.batches import Reference, ReferenceBatch, ReferenceSource, check_seed
from lightning_modules.finite import check_numbers
from lightning_modules.objectives import Draws, Dropped, DropRates, draw
from lightning_modules.picture_generator import PictureGenerator, say_what_is_cropped
from lightning_modules.style_transfer import StyleModule


class Reconstruction(StyleModule):
    """Base of the modules of `fit`, which learn to reconstruct images; validates by generating with what is learnt.

    Args:
        optimizer: optimizer of the trained parameters.
        lr_scheduler: schedule of the learning rate, advanced every step.
        gradient_checkpointing: recompute activations in the backward pass, to save memory.
        seed: seed of all first weights and of all that is drawn in training, at least 0.
    """

    def __init__(
        self,
        generator: PictureGenerator,
        drop: DropRates,
        optimizer: OptimizerCallable = lambda params: torch.optim.AdamW(params, lr=1e-5, weight_decay=1e-2),
        lr_scheduler: LRSchedulerCallable | None = None,
        gradient_checkpointing: bool = False,
        seed: int = 42,
    ) -> None:
        super().__init__(generator)
        check_seed(seed)
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.drop, self.gradient_checkpointing, self.seed = drop, gradient_checkpointing, seed
        self._built = False
        self.references: list[Reference] = []

    @abstractmethod
    def build(self) -> None:
        """Make what is trained, in the sizes of the loaded networks, and let its parameters take gradients."""

    @override
    def configure_model(self) -> None:
        super().configure_model()
        if self._built:
            return
        from lightning_modules.diffusion.schedulers import check_for_training

        if self.model.embeds_guidance:
            raise ValueError(
                "`model` embeds its guidance (`time_cond_proj_dim`): it was distilled to need few steps, and `fit` "
                "trains on single noise levels. Train on the base that it was distilled from; the adapter fits both."
            )
        check_for_training(self.model.training_scheduler, self.sampling)
        self.build()
        self._built = True
        frozen = [name for name, parameter in self.named_parameters() if not parameter.requires_grad]
        frozen += [name for name, _ in self.named_buffers() if name.startswith("diffusion.")]
        # Frozen weights are the same on all processes: nothing of them is to be sent about.
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, frozen)
        if self.gradient_checkpointing:
            self.model.unet.enable_gradient_checkpointing()

    @property
    def trained_parameters(self) -> list[nn.Parameter]:
        """The parameters that take gradients."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        parameters = self.trained_parameters
        if wrong := {parameter.dtype for parameter in parameters} - {torch.float32, torch.float64}:
            raise ValueError(
                f"`precision` of the Trainer made the trained weights {wrong.pop()}, whose rounding swallows the steps "
                'of the optimizer; expected float32. Use "32-true", or "bf16-mixed" or "16-mixed", with the '
                "backbone's `dtype` for half-precision frozen weights."
            )
        try:
            optimizer = self.optimizer(parameters)
        except ValueError as error:
            raise ValueError(f"`optimizer` cannot be made of what was given: {error}.") from error
        check_numbers(**{name: value for name, value in optimizer.defaults.items() if isinstance(value, float)})
        if self.lr_scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.lr_scheduler(optimizer), "interval": "step"},
        }

    def on_fit_start(self) -> None:
        """Keep Lightning from taking frozen networks in evaluation mode for a mistake."""
        warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")

    def opened(self, batch: ReferenceBatch) -> ReferenceBatch:
        """The batch with its images, opened here unless workers did so ahead."""
        source = batch.get("source")
        if "images" not in batch:
            batch = batch["source"].open([reference.index for reference in batch["references"]])
        references, images = batch["references"], dict(zip(batch["references"], batch["images"], strict=True))
        say_what_is_cropped(self.model, references, batch["images"])
        self.references = self.named(references, source, lambda each: self.model.encode_images([images[each]]))
        return batch

    def named(
        self, references: Collection[Reference], source: ReferenceSource | None, feature: Callable[[Reference], Tensor]
    ) -> list[Reference]:
        """References of a source with the words that are found by their image features `(1, dim)`."""
        found = self.generator.find_words(references, source.vocabulary if source else (), feature)
        words = {key: each.word for key, each in found.items()}
        return [reference.named(words) for reference in references]

    def drawn(self) -> tuple[Draws, Dropped, list[str]]:
        """What the references of the step draw and drop, and the texts of their contents, "" where dropped."""
        indices = [reference.index for reference in self.references]
        timesteps = int(self.model.training_scheduler.config.num_train_timesteps)
        draws = draw(self.seed, self.current_epoch, indices, self.model.latent_shape, timesteps)
        dropped = self.drop(draws.u)
        words = zip(self.references, dropped.content.tolist(), strict=True)
        return draws.to(self.device), dropped, ["" if is_dropped else each.word for each, is_dropped in words]

    @override
    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        check_numbers(lr=[float(group["lr"]) for group in optimizer.param_groups])
        if self.trainer.precision != "16-mixed":  # whose scaled gradients overflow now and then: it leaves them out
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
            self._refuse_spoilt("norm of the gradient", norm, self.global_step + 1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to write what is spoilt over what is not."""
        states = [state for one in checkpoint.get("optimizer_states", ()) for state in one["state"].values()]
        values = [*checkpoint["state_dict"].values(), *(value for state in states for value in state.values())]
        for value in values:
            self._refuse_spoilt("state", value, self.global_step)

    def on_train_end(self) -> None:
        """Refuse weights that the last step has spoilt."""
        for parameter in self.trained_parameters:
            self._refuse_spoilt("state", parameter, self.global_step)

    def _refuse_spoilt(self, name: str, value: Any, step: int) -> None:
        if isinstance(value, Tensor) and not value.isfinite().all():
            keys = ", ".join(repr(reference.key) for reference in self.references)
            raise ValueError(
                f"`optimizer`: the {name} of the training is not finite in step {step}, whose batch is {keys}. The "
                "checkpoints of the steps before it are kept. Give a smaller `lr`, a `gradient_clip_val` of the "
                "Trainer or a `precision` of more range, or look at these images."
            )

    def reduced(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logs the means of the losses over all processes, and gives them with the one that is differentiated, `loss`.

        That is weighted so that the gradients that the processes average are those of the joint batch: the last batch
        of an epoch may be larger on some processes than on others.

        Args:
            losses: `(batch,)` each, the first one the total.
        """
        sums, rows = torch.stack([each.sum() for each in losses.values()]), len(next(iter(losses.values())))
        world_size = self.trainer.world_size
        gathered: Any = torch.cat([sums.detach(), sums.new_tensor([rows])])[None]
        if world_size > 1:
            gathered = self.all_gather(gathered[0])
        *totals, total_rows = gathered.sum(0).unbind()
        means = torch.stack(totals) / total_rows
        self._refuse_spoilt("loss", means, self.global_step + 1)  # that of all processes, which all end then
        told = dict(zip(losses, means, strict=True))
        self.log_dict({f"loss/{name}": mean for name, mean in told.items()}, prog_bar=True, batch_size=rows)
        return told | {"loss": (sums * world_size / total_rows)[0]}
