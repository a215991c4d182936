"""A whole Stable Diffusion in one file, as its authors and most who fine-tuned it wrote it; diffusers reads it."""

from typing import Any

import torch
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm, load_single_file_checkpoint

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.sources import Source, fetch_file, fetch_folder, find_source

_ENDINGS = (".safetensors", ".ckpt")


def find_model(backbone: Backbone) -> Source:
    """The folder of a model; for a model of one file the folder that tells how it is built, beside the file.

    Raises:
        FileNotFoundError: a name leads nowhere.
        ValueError: a file comes without such a folder, or a folder with another one.
    """
    model = find_source(backbone.model, "model", backbone.revision)
    if backbone.model.endswith(_ENDINGS) != (backbone.model_config is not None):
        raise ValueError(
            f"`model_config` must be given with a `model` of one file, and only then; got {backbone.model_config!r} "
            f"with {backbone.model!r}. For a file name a diffusers folder that is built like it, such as "
            "stable-diffusion-v1-5/stable-diffusion-v1-5 or stabilityai/stable-diffusion-xl-base-1.0, or convert it to "
            "a folder: `diffusers.StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)`."
        )
    if backbone.model_config is None:
        return model
    settings = find_source(backbone.model_config, "model_config")
    return settings._replace(checkpoint=str(fetch_file(model, "model")))


def load_single_file_part(network: Any, source: Source, dtype: torch.dtype) -> Any:
    """One network of the file, built as the folder `source` says.

    Raises:
        ValueError: the file does not hold all of its weights.
    """
    config = str(fetch_folder(source, "model_config"))
    options = {"config": config, "torch_dtype": dtype, "local_files_only": True}
    try:
        if hasattr(network, "from_single_file"):
            loaded = network.from_single_file(source.checkpoint, **options)
        else:
            weights = load_single_file_checkpoint(source.checkpoint, local_files_only=True)
            loaded = create_diffusers_clip_model_from_ldm(network, weights, **options)
        missing = [name for name, tensor in loaded.state_dict().items() if tensor.is_meta]
    except Exception as error:  # of many kinds, from the middle of the conversion
        missing = [f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"]
    if missing:
        raise ValueError(
            f"`model`: {source.checkpoint!r} does not hold a {network.__name__} that is built as {config!r} says "
            f"({missing[0]}). Name by `model_config` a folder that is built like the file."
        )
    return loaded.to(dtype).eval()
