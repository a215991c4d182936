"""Judges: frozen CLIP models that turn pictures and texts into the unit features that scores compare."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar
from unicodedata import normalize as composed

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from typing_extensions import override

from callbacks.files import to_pil
from callbacks.scoring import functional as scores
from callbacks.scoring.features import FeatureStore, image_key, text_key
from callbacks.scoring.functional import UnitFeatures
from callbacks.scoring.judge import AMONG, IMAGE, Judge, Verdict
from callbacks.scoring.judge_loading import (
    EXPECTED,
    argument_of,
    find_folder,
    identity,
    load_frozen,
    load_processor,
    load_tokenizer,
)
from callbacks.scoring.metrics import FEATURE_SCORES
from datamodules.reading import read_json
from lightning_modules.hub_cache import is_commit
from lightning_modules.outputs import Predicted

T = TypeVar("T")
_MINIATURE = Path(__file__).parents[2] / "weights" / "miniature" / "judge"
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

    def __init__(self, model: str = "miniature", revision: str | None = None, cache: str | None = None) -> None:
        self.model, self.revision, self.cache = model, revision, cache
        self.device = torch.device("cpu")
        self.cut_texts = {}
        self._clip: Any = None
        self._processor: Any = None
        self._tokenizer: Any = None
        self._store: FeatureStore | None = None

    @property
    def name(self) -> str:
        """The judge's name beside every score: the model, with the revision where one was asked for."""
        return self.model if self.revision is None else f"{self.model}@{self.revision}"

    @override
    def to(self, device: torch.device | str) -> Self:
        self.device = torch.device(device)
        if self._clip is not None:
            self._clip.to(self.device)
        return self

    @override
    def find(self) -> None:
        self._folder()

    def image_features(self, images: Tensor | Sequence[Image.Image]) -> Tensor:
        """Unit features (batch, dim) of RGB pictures or of a tensor (batch, 3, height, width) in [0, 1].

        A tensor is rounded to 8 bits first, so a picture scores the same before and after it was saved.
        """
        pictures = to_pil(images) if isinstance(images, Tensor) else list(images)
        if self.cache is None:
            return self._encode_images(pictures)
        return self._remembered(list(map(image_key, pictures)), pictures, self._encode_images)

    def reference_features(self, images: Sequence[Image.Image]) -> Tensor:
        """As `image_features`, but a picture seen before is not encoded again (it is known by its pixels)."""
        if self.cache is not None:
            return torch.cat([self.image_features([image]) for image in images])
        return self._remembered(list(map(image_key, images)), images, self.image_features, batch_size=1)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Unit features (batch, dim) of `texts`; a text seen before is not encoded again.

        Of a text that is longer than the judge reads, its beginning is encoded: see `cut_texts`.
        """
        self._measure(texts)
        return self._remembered(list(map(text_key, texts)), texts, self._encode_texts, batch_size=1)

    @override
    def verdict(self, predicted: Predicted, contents: Sequence[str]) -> Verdict:
        """All scores of unit features; `contents` may be empty, which says nothing of a leak among them."""
        features = UnitFeatures(
            generated=self.image_features(predicted.images),
            reference=self.reference_features(predicted.references),
            content=self.text_features([prediction.content_prompt for prediction in predicted.predictions]),
            prompt=self.text_features([prediction.prompt for prediction in predicted.predictions]),
        )
        values = {tag: score(features) for tag, score in FEATURE_SCORES.items()}
        if contents:
            values[AMONG] = scores.leaked_among(features, self.text_features(contents))
        return Verdict(values, features.generated)

    def _remembered(
        self, keys: list[str], items: Sequence[T], encode: Callable[[list[T]], Tensor], batch_size: int = 64
    ) -> Tensor:
        # Where nothing outlives the process, references and texts alone, and each encoded by itself: which ones it
        # has seen before must not change the last bits of others.
        if self._store is None:
            name, size = (self.name, None) if self.cache is None else (self._identity(), self._told("projection_dim"))
            self._store = FeatureStore(self.cache, name, size if isinstance(size, int) else None)
        return self._store(keys, items, encode, batch_size).to(self.device)

    def _measure(self, texts: Sequence[str]) -> None:
        """Remembers which texts are cut; only where one may be, the judge has to be here for it."""
        sizes = self._told("text_config")
        longest = sizes.get("max_position_embeddings", _LONGEST) if isinstance(sizes, dict) else _LONGEST
        # No text has more tokens than bytes, but for the two at its start and end.
        long = [text for text in texts if text not in self.cut_texts and _bytes(text) > longest - 2]
        if long:
            self._load()
            lengths = map(len, self._tokenizer(long, verbose=False)["input_ids"])
            self.cut_texts |= {text: n for text, n in zip(long, lengths, strict=True) if n > longest}

    def _identity(self) -> str:
        """What tells the features of these weights from others; a pinned judge need not be here for it."""
        is_pinned = is_commit(self.revision) and self.model != "miniature" and not Path(self.model).is_dir()
        return self.name if is_pinned else identity(self.model, self._folder())

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
        longest = self._clip.config.text_config.max_position_embeddings
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        return normalize(self._clip.get_text_features(**tokens.to(self.device)).pooler_output.float(), dim=-1)

    def _load(self) -> None:
        if self._clip is not None:
            return
        folder = self._folder()
        clip = self._load_model(folder)
        self._processor = load_processor(folder, self.name, clip)
        self._tokenizer = load_tokenizer(folder, self.name, clip) if self.reads_texts else None
        self._clip = clip.to(self.device)
        _log.info("The judge `%s` was loaded to %s.", self.name, self.device)

    def _load_model(self, folder: Path) -> torch.nn.Module:
        from transformers import CLIPModel

        return load_frozen(CLIPModel, folder, self.name, "CLIP (image and text tower)")

    def _embed(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self._clip.get_image_features(pixel_values=pixels).pooler_output
        return embeddings

    def _folder(self) -> Path:
        if self.model != "miniature":
            return find_folder(self.model, self.revision, self.reads_texts)
        if not _MINIATURE.is_dir():
            raise FileNotFoundError(
                f"`model` is 'miniature', the judge in `{_MINIATURE}`, and there is no such folder: run "
                "from a checkout that has `weights` beside `callbacks`, or give a folder or hub name of "
                "a CLIP, such as 'openai/clip-vit-base-patch32'."
            )
        return _MINIATURE


def _bytes(text: str) -> int:
    """Of a text as a CLIP's tokenizer sees it."""
    return len(composed("NFC", text).lower().encode(errors="replace"))


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

    def __init__(self, model: str, revision: str | None = None, cache: str | None = None) -> None:
        super().__init__(model, revision, cache)

    @override
    def verdict(self, predicted: Predicted, contents: Sequence[str]) -> Verdict:
        """Pictures against their references, and against each other."""
        generated, reference = self.image_features(predicted.images), self.reference_features(predicted.references)
        return Verdict({IMAGE: scores.cosine(generated, reference)}, generated)

    @override
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Raises ValueError: a style judge has no texts."""
        raise ValueError(
            f"`judge`: the style judge `{self.name}` reads no texts, and this score compares with a prompt or a "
            "content. Ask it for scores of pictures against pictures (image alignment, diversity), and a "
            "`ClipJudge` for this one."
        )

    @override
    def _load_model(self, folder: Path) -> torch.nn.Module:
        from transformers import CLIPVisionModelWithProjection

        return load_frozen(CLIPVisionModelWithProjection, folder, self.name, "CLIP vision tower with projection")

    @override
    def _embed(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self._clip(pixel_values=pixels).image_embeds
        return embeddings
