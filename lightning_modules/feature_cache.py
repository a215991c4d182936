"""What the frozen encoders say of the train references, computed once for all steps and processes."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from datamodules.batches import Reference, ReferenceBatch
from lightning_modules.diffusion.encoders import say_what_is_lost

if TYPE_CHECKING:
    from lightning_modules.diffusion.stable_diffusion import StableDiffusion


class FrozenFeatures(NamedTuple):
    """The encodings of some references, float32."""

    latent_mean: Tensor  # (n, channels, height, width), scaled latents
    latent_std: Tensor  # (n, channels, height, width)
    image_feature: Tensor  # (n, dim), e

    def rows(self, indices: Sequence[int]) -> Self:
        """The encodings of the references `indices` (batch,)."""
        places = torch.tensor(indices, device=self.image_feature.device)
        return type(self)(*(part[places] for part in self))

    def to(self, device: torch.device) -> Self:
        """The same encodings on `device`."""
        return type(self)(*(part.to(device, non_blocking=True) for part in self))

    def sample_latents(self, noise: Tensor) -> Tensor:
        """Latents x0 = mean + std * noise, noise of the latents' shape."""
        return self.latent_mean + self.latent_std * noise


class EncodingLoader(Protocol):
    """Batches of references with their images; `batches` lists the indices of each batch."""

    batches: Sequence[list[int]]

    def __iter__(self) -> Iterator[ReferenceBatch]: ...


def encode_images(model: "StableDiffusion", images: Sequence[Image.Image]) -> FrozenFeatures:
    """Encode images by the VAE and the image encoder, (len(images), ...)."""
    return FrozenFeatures(*model.encode_latents(images), model.encode_images(images))


class EncodedReferences(NamedTuple):
    """All train references, in the order of their indices, and their encodings on the CPU."""

    references: list[Reference]
    features: FrozenFeatures
    left_out: frozenset[int]
    """Indices of the references that could no longer be read; their encodings are those of others."""


Share = tuple[list[Reference], list[FrozenFeatures]]  # what one process has encoded, batch by batch


def encode_references(
    model: "StableDiffusion", loader: EncodingLoader, rank: int = 0, world_size: int = 1, show_progress: bool = True
) -> EncodedReferences:
    """Encode each batch of `loader` on one process, and give the whole to every process."""
    n_references = sum(map(len, loader.batches))
    loader.batches = loader.batches[rank::world_size]  # the other batches' images are not even opened here
    references: list[Reference] = []
    encoded = []
    for batch in tqdm(loader, "Encoding references", len(loader.batches), unit="batch", disable=not show_progress):
        references += batch["references"]
        if model.reference_fit == "crop":
            say_what_is_lost((reference.key for reference in batch["references"]), batch["images"])
        encoded.append(encode_images(model, batch["images"]).to(torch.device("cpu")))
    return _joined(_gather((references, encoded), world_size), n_references)


def _gather(share: Share, world_size: int) -> list[Share]:
    """The shares of all processes, whose sizes may differ, through main memory and not through an accelerator's."""
    if world_size == 1:
        return [share]
    shares: list[Share] = [([], [])] * world_size
    group = torch.distributed.new_group(backend="gloo")
    torch.distributed.all_gather_object(shares, share, group=group)
    torch.distributed.destroy_process_group(group)
    return shares


def _joined(shares: Sequence[Share], n_references: int) -> EncodedReferences:
    references = [reference for share, _ in shares for reference in share]
    encoded = [batch for _, share in shares for batch in share]
    features = FrozenFeatures(*(torch.cat(parts) for parts in zip(*encoded, strict=True)))
    rows = {reference.index: row for row, reference in enumerate(references)}  # one that stands in comes twice
    left_out = frozenset(range(n_references)) - rows.keys()
    ordered = [references[rows[index]] for index in sorted(rows)]
    return EncodedReferences(ordered, features.rows([rows.get(i, 0) for i in range(n_references)]), left_out)
