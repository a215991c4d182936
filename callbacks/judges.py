"""Judges: frozen CLIP models that turn pictures and texts into the unit features that scores compare.

A judge is kept outside of every LightningModule and Metric, so that it never enters a checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from callbacks.files import digest, to_pil

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

_MINIATURE = Path(__file__).parents[1] / "weights" / "miniature" / "judge"
_log = logging.getLogger(__name__)


class ClipJudge:
    """A frozen CLIP, loaded on first use, that remembers the texts and reference pictures it has seen.

    Args:
        model: "miniature" for the judge shipped in `weights/miniature/judge`, a folder, or a hub name such as
            "openai/clip-vit-base-patch32" (alignment) or "laion/CLIP-ViT-H-14-laion2B-s32B-b79K" (leakage).
        revision: branch, tag or commit of a hub name.
    """

    def __init__(self, model: str = "miniature", revision: str | None = None) -> None:
        self.model, self.revision = model, revision
        self.device = torch.device("cpu")
        self._clip: CLIPModel | None = None
        self._processor: CLIPImageProcessorPil | None = None
        self._tokenizer: CLIPTokenizer | None = None
        self._texts: dict[str, Tensor] = {}
        self._references: dict[str, Tensor] = {}

    @property
    def name(self) -> str:
        """The judge's name beside every score: the model, with the revision where one was asked for."""
        return self.model if self.revision is None else f"{self.model}@{self.revision}"

    def to(self, device: torch.device | str) -> ClipJudge:
        """Move the judge, now or when it is loaded, to `device`; features come out there."""
        self.device = torch.device(device)
        if self._clip is not None:
            self._clip.to(self.device)
        return self

    @torch.no_grad()
    def image_features(self, images: Tensor | Sequence[Image.Image]) -> Tensor:
        """Unit features (batch, dim) of RGB pictures or of a tensor (batch, 3, height, width) in [0, 1].

        A tensor is rounded to 8 bits first, so a picture scores the same before and after it was saved.
        """
        clip = self._load()
        assert self._processor is not None
        pictures = to_pil(images) if isinstance(images, Tensor) else list(images)
        pixels = self._processor(images=pictures, return_tensors="pt")["pixel_values"].to(self.device)
        return normalize(clip.get_image_features(pixel_values=pixels).pooler_output.float(), dim=-1)

    def reference_features(self, images: Sequence[Image.Image]) -> Tensor:
        """As `image_features`, but a picture seen before is not encoded again (it is known by its pixels)."""
        keys = [digest(repr((image.mode, image.size)).encode() + image.tobytes(), size=16) for image in images]
        unseen = {key: image for key, image in zip(keys, images, strict=True) if key not in self._references}
        if unseen:
            self._references.update(zip(unseen, self.image_features(list(unseen.values())).cpu(), strict=True))
        return torch.stack([self._references[key] for key in keys]).to(self.device)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Unit features (batch, dim) of `texts`; a text seen before is not encoded again."""
        unseen = list(dict.fromkeys(text for text in texts if text not in self._texts))
        if unseen:
            self._texts.update(zip(unseen, self._encode_texts(unseen).cpu(), strict=True))
        return torch.stack([self._texts[text] for text in texts]).to(self.device)

    @torch.no_grad()
    def _encode_texts(self, texts: list[str]) -> Tensor:
        clip = self._load()
        assert self._tokenizer is not None
        longest = clip.config.text_config.max_position_embeddings
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        return normalize(clip.get_text_features(**tokens.to(self.device)).pooler_output.float(), dim=-1)

    def _load(self) -> CLIPModel:
        if self._clip is None:
            source: dict[str, Any] = self._source()
            self._processor, self._tokenizer = _load_preprocessing(source, self.name)
            self._clip = _load_frozen(source, self.name).to(self.device)
            _log.info("The judge `%s` was loaded to %s.", self.name, self.device)
        return self._clip

    def _source(self) -> dict[str, Any]:
        """Where the weights are, as arguments of `from_pretrained`."""
        if self.model == "miniature":
            if not _MINIATURE.is_dir():
                raise FileNotFoundError(
                    f"`model` is 'miniature', the judge in `{_MINIATURE}`, and there is no such folder: run "
                    "from a checkout that has `weights` beside `callbacks`, or give a folder or hub name of "
                    "a CLIP, such as 'openai/clip-vit-base-patch32'."
                )
            return {"pretrained_model_name_or_path": str(_MINIATURE)}
        if Path(self.model).is_dir():
            return {"pretrained_model_name_or_path": self.model}
        return {"pretrained_model_name_or_path": self.model, "revision": self.revision or "main"}


def _load_preprocessing(source: dict[str, Any], name: str) -> tuple[CLIPImageProcessorPil, CLIPTokenizer]:
    from transformers import CLIPTokenizer

    # Named directly: the automatic choice resizes by another back end where torchvision is installed.
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    try:
        processor = CLIPImageProcessorPil.from_pretrained(**source)
        tokenizer = CLIPTokenizer.from_pretrained(**source)
    except OSError as error:
        raise _not_found(name, error) from error
    if len(tokenizer) <= 3:  # what transformers 5 makes of a folder without tokenizer files
        raise ValueError(
            f"`model`: the judge `{name}` has a tokenizer of {len(tokenizer)} tokens: expected the files "
            "of CLIP's tokenizer (`tokenizer.json`, or `vocab.json` and `merges.txt`) beside its weights."
        )
    return processor, tokenizer


def _load_frozen(source: dict[str, Any], name: str) -> CLIPModel:
    from transformers import CLIPModel

    try:
        clip, report = CLIPModel.from_pretrained(**source, dtype=torch.float32, output_loading_info=True)
    except OSError as error:
        raise _not_found(name, error) from error
    if report["missing_keys"] or report["mismatched_keys"]:
        lacking = sorted(report["missing_keys"])[:3] + sorted(str(key) for key in report["mismatched_keys"])[:3]
        raise ValueError(
            f"`model`: the weights of the judge `{name}` do not fit CLIP; missing or of another shape: "
            f"{', '.join(lacking)}. Give a complete CLIP (image and text tower) in transformers' format."
        )
    frozen: CLIPModel = clip.requires_grad_(False).eval()
    return frozen


def _not_found(name: str, error: OSError) -> FileNotFoundError:
    return FileNotFoundError(
        f"`model`: the judge `{name}` cannot be loaded as CLIP ({str(error).splitlines()[0]}). Expected "
        "'miniature', a folder or a hub name with config, weights, tokenizer and preprocessor_config.json of "
        "a CLIP."
    )
