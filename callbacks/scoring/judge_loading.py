"""The parts of a judge from a folder in Hugging Face format, checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from lightning_modules.pretrained import check_processor, check_tokenizer, pretrained

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer, CLIPVisionModelWithProjection
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

M = TypeVar("M", bound=torch.nn.Module)
EXPECTED = (
    "Expected 'miniature', a folder or a hub name with config, weights, tokenizer and preprocessor_config.json of "
    "a CLIP."
)


def load_clip(folder: Path, name: str) -> CLIPModel:
    """Both towers of the judge `name`, frozen."""
    from transformers import CLIPModel

    return _load_frozen(CLIPModel, folder, name, "CLIP (image and text tower)")


def load_image_tower(folder: Path, name: str) -> CLIPVisionModelWithProjection:
    """The image tower of the judge `name` with its projection, frozen."""
    from transformers import CLIPVisionModelWithProjection

    return _load_frozen(CLIPVisionModelWithProjection, folder, name, "CLIP vision tower with projection")


def load_processor(folder: Path, name: str, network: torch.nn.Module) -> CLIPImageProcessorPil:
    """What turns pictures into the pixels that the judge `name`, whose network it is, sees."""
    # Named directly: the automatic choice resizes by another back end where torchvision is installed.
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor: CLIPImageProcessorPil = _load(CLIPImageProcessorPil.from_pretrained, folder, name)
    check_processor(processor, network, folder, argument_of(name), EXPECTED)
    return processor


def load_tokenizer(folder: Path, name: str, network: torch.nn.Module) -> CLIPTokenizer:
    """The tokenizer of the judge `name`, whose network it is; refuses an empty one."""
    from transformers import CLIPTokenizer

    tokenizer: CLIPTokenizer = _load(CLIPTokenizer.from_pretrained, folder, name)
    if len(tokenizer) <= 3:  # what transformers 5 makes of a folder without tokenizer files
        raise ValueError(
            f"`model`: the judge `{name}` has a tokenizer of {len(tokenizer)} tokens: expected the files "
            "of CLIP's tokenizer (`tokenizer.json`, or `vocab.json` and `merges.txt`) beside its weights."
        )
    check_tokenizer(tokenizer, network, folder, argument_of(name), EXPECTED)
    return tokenizer


def argument_of(name: str) -> str:
    """How errors call what names the files of a judge."""
    return f"model` of the judge `{name}"


def _load_frozen(kind: type[M], folder: Path, name: str, expected: str) -> M:
    """A `kind` from a folder, in float32 and eval mode, without gradients; refuses weights that lack any of it."""
    from transformers.utils import logging as told

    level = told.get_verbosity()
    told.set_verbosity_error()  # it would list the tower that is not asked for; what lacks is refused below
    try:
        load = kind.from_pretrained  # type: ignore[attr-defined]
        model, report = _load(load, folder, name, dtype=torch.float32, output_loading_info=True)
    finally:
        told.set_verbosity(level)
    if report["missing_keys"] or report["mismatched_keys"]:
        lacking = sorted(report["missing_keys"])[:3] + sorted(str(key) for key in report["mismatched_keys"])[:3]
        raise ValueError(
            f"`model`: the weights of the judge `{name}` do not fit CLIP; missing or of another shape: "
            f"{', '.join(lacking)}. Give a complete {expected} in transformers' format."
        )
    frozen: M = model.requires_grad_(False).eval()
    return frozen


def _load(load: Callable[..., Any], folder: Path, name: str, **options: Any) -> Any:
    try:
        return pretrained(load, folder, argument_of(name), EXPECTED, **options)
    except OSError as error:
        text = f"`model`: the judge `{name}` cannot be loaded as CLIP ({str(error).splitlines()[0]}). {EXPECTED}"
        raise FileNotFoundError(text) from error
