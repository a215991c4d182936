"""Judges: frozen CLIP models that turn pictures and texts into the unit features that scores compare."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize as composed

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from typing_extensions import override

from callbacks.scoring.features import FeatureStore, image_key, text_key
from callbacks.scoring.functional import UnitFeatures, cosine, feature_scores, leaked_among
from callbacks.scoring.judge import (
    AMONG,
    EXPECTED,
    IMAGE,
    SHIPPED,
    Judge,
    Verdict,
    argument_of,
    find_folder,
    identity,
    load_frozen,
    load_readers,
)
from datamodules.reading import read_json
from lightning_modules.hub_cache import is_commit
from lightning_modules.outputs import Predicted, to_pil

_MINIATURE = SHIPPED / "judge"
_LONGEST = 77  # tokens of a text that a CLIP reads unless its configuration says otherwise
_log = logging.getLogger(__name__)


class ClipJudge(Judge):
    """A frozen CLIP, loaded on first use, that remembers the texts and reference pictures it has seen.

    Args:
        model: "miniature" for the judge shipped in `weights/miniature/judge`, a folder, or a hub name such as
            "openai/clip-vit-base-patch32" (alignment) or "laion/CLIP-ViT-H-14-laion2B-s32B-b79K" (leakage).
        revision: branch, tag or commit of a hub name.
        cache: a folder in which the features of all pictures and texts are kept from run to run, by their
            content and by the judge's weights; None remembers in memory, and generated pictures not at all.
    """

    reads_texts = True
    _kind = "CLIPModel", "CLIP (image and text tower)"

    def __init__(self, model: str = "miniature", revision: str | None = None, cache: str | None = None) -> None:
        super().__init__(model, cache)
        self.revision, self.cut_texts = revision, {}
        self._processor: Any = None
        self._tokenizer: Any = None

    @property
    def name(self) -> str:
        """The model, with the revision where one was asked for."""
        return self.model if self.revision is None else f"{self.model}@{self.revision}"

    def image_features(self, images: Tensor | Sequence[Image.Image]) -> Tensor:
        """Unit features (batch, dim) of RGB pictures or of a tensor (batch, 3, height, width) in [0, 1].

        A tensor is rounded to 8 bits first, so a picture scores the same before and after it was saved.
        """
        pictures = to_pil(images) if isinstance(images, Tensor) else list(images)
        if self.cache is None:
            return self._encode_images(pictures)
        return self._features(image_key, pictures, self._encode_images).to(self.device)

    # Where nothing outlives the process, references and texts alone are remembered, and each is encoded by itself:
    # which ones it has seen before must not change the last bits of others.

    def reference_features(self, images: Sequence[Image.Image]) -> Tensor:
        """As `image_features`, but a picture seen before is not encoded again (it is known by its pixels)."""
        return self._features(image_key, images, self._encode_images, batch_size=1).to(self.device)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Unit features (batch, dim) of `texts`; a text seen before is not encoded again.

        Of a text that is longer than the judge reads, its beginning is encoded: see `cut_texts`.
        """
        self._measure(texts)
        return self._features(text_key, texts, self._encode_texts, batch_size=1).to(self.device)

    @override
    def verdict(self, predicted: Predicted, contents: Sequence[str]) -> Verdict:
        """All scores of unit features; `contents` may be empty, which says nothing of a leak among them."""
        features = UnitFeatures(
            generated=self.image_features(predicted.images),
            reference=self.reference_features(predicted.references),
            content=self.text_features([prediction.content_prompt for prediction in predicted.predictions]),
            prompt=self.text_features([prediction.prompt for prediction in predicted.predictions]),
        )
        values = feature_scores(features)
        if contents:
            values[AMONG] = leaked_among(features, self.text_features(contents))
        return Verdict(values, features.generated)

    @property
    def _features(self) -> FeatureStore:
        if self._store is None:
            name, size = (self.name, None) if self.cache is None else (self._identity(), self._told("projection_dim"))
            self._store = FeatureStore(self.cache, name, size if isinstance(size, int) else None)
        return self._store

    def _measure(self, texts: Sequence[str]) -> None:
        """Remembers which texts are cut; only where one may be, the judge has to be here for it."""
        told = self._told("text_config")
        longest = told.get("max_position_embeddings", _LONGEST) if isinstance(told, dict) else _LONGEST
        # No text has more tokens than bytes, as the tokenizer sees it, but for the two at its start and end.
        sizes = {text: len(composed("NFC", text).lower().encode(errors="replace")) for text in texts}
        long = [text for text, size in sizes.items() if text not in self.cut_texts and size > longest - 2]
        if long:
            self._load()
            lengths = map(len, self._tokenizer(long, verbose=False)["input_ids"])
            self.cut_texts |= {text: n for text, n in zip(long, lengths, strict=True) if n > longest}

    def _identity(self) -> str:
        """What tells the features of these weights from others; a pinned judge need not be here for it."""
        is_pinned = is_commit(self.revision) and self.model != "miniature" and not Path(self.model).is_dir()
        return self.name if is_pinned else identity(self.model, self.find())

    def _told(self, key: str) -> Any:
        """What its configuration says; None where that does not lie here."""
        config = Path(self.model if self.model != "miniature" else _MINIATURE) / "config.json"
        return read_json(config, argument_of(self.name), EXPECTED).get(key) if config.is_file() else None

    @torch.no_grad()
    def _encode_images(self, pictures: Sequence[Image.Image]) -> Tensor:
        self._load()
        pixels = self._processor(images=list(pictures), return_tensors="pt")["pixel_values"].to(self.device)
        return normalize(self._embed(pixels).float(), dim=-1)

    @torch.no_grad()
    def _encode_texts(self, texts: list[str]) -> Tensor:
        self._load()
        longest = self._network.config.text_config.max_position_embeddings
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        return normalize(self._network.get_text_features(**tokens.to(self.device)).pooler_output.float(), dim=-1)

    def _load(self) -> None:
        if self._network is not None:
            return
        folder, (kind, expected) = self.find(), self._kind
        network = load_frozen(kind, folder, self.name, expected)
        self._processor, self._tokenizer = load_readers(folder, self.name, network, self.reads_texts)
        self._network = network.to(self.device)
        _log.info("The judge `%s` was loaded to %s.", self.name, self.device)

    def _embed(self, pixels: Tensor) -> Tensor:
        return self._network.get_image_features(pixel_values=pixels).pooler_output

    @override
    def find(self) -> Path:
        if self.model != "miniature":
            return find_folder(self.model, self.revision, self.reads_texts)
        if not _MINIATURE.is_dir():
            raise FileNotFoundError(
                f"`model` is 'miniature', the judge in `{_MINIATURE}`, and there is no such folder: run "
                "from a checkout that has `weights` beside `callbacks`, or give a folder or hub name of "
                "a CLIP, such as 'openai/clip-vit-base-patch32'."
            )
        return _MINIATURE


class StyleJudge(ClipJudge):
    """A frozen image tower whose features tell styles apart, such as CSD; it reads no texts.

    CSD (Somepalli et al., "Measuring Style Similarity in Diffusion Models", 2024) is a CLIP ViT-L/14 with a
    projection of its own for style: as the `visual_projection` of a `CLIPVisionModelWithProjection` it is a
    folder for here. The image tower of a whole CLIP is taken as well.

    Args:
        model: a folder or hub name, with config, weights and preprocessor_config.json.
        revision: branch, tag or commit of a hub name.
        cache: as of `ClipJudge`.
    """

    reads_texts = False
    _kind = "CLIPVisionModelWithProjection", "CLIP vision tower with projection"

    def __init__(self, model: str, revision: str | None = None, cache: str | None = None) -> None:
        super().__init__(model, revision, cache)

    @override
    def verdict(self, predicted: Predicted, contents: Sequence[str]) -> Verdict:
        """Pictures against their references, and against each other."""
        generated, reference = self.image_features(predicted.images), self.reference_features(predicted.references)
        return Verdict({IMAGE: cosine(generated, reference)}, generated)

    @override
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Raises ValueError: a style judge has no texts."""
        raise ValueError(
            f"`judge`: the style judge `{self.name}` reads no texts, and this score compares with a prompt or a "
            "content. Ask it for scores of pictures against pictures (image alignment, diversity), and a "
            "`ClipJudge` for this one."
        )

    @override
    def _embed(self, pixels: Tensor) -> Tensor:
        return self._network(pixel_values=pixels).image_embeds
