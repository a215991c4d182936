"""A judge that is no CLIP: a small classifier of contents and styles."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from typing_extensions import override

from callbacks.scoring import functional as scores
from callbacks.scoring.features import FeatureStore, image_key
from callbacks.scoring.judge import AMONG, LEAKED, PROMPT_SEEN, STYLE_SEEN, Judge, Verdict
from callbacks.scoring.judge_loading import identity
from datamodules.reading import read_json, reading
from lightning_modules.outputs import Predicted
from lightning_modules.tensor_files import read_tensors

SIZE = 64  # pixels a side of the pictures that the classifier is trained on
_MINIATURE = Path(__file__).parents[2] / "weights" / "miniature" / "classifier"
_EXPECTED = "Expected the folder of a classifier that `save_classifier` wrote, or 'miniature'."
_NONE = -1  # the label of what is no class


class Classifier(nn.Module):
    """Convolutional network from images ``(n, 3, 64, 64)`` in [-1, 1] to content and style logits."""

    def __init__(self, contents: int, styles: int, width: int = 32) -> None:
        super().__init__()
        widths, layers, before = (width, 2 * width, 3 * width, 4 * width), [], 3
        for after in widths:
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            layers += [nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.body = nn.Sequential(*layers)
        self.content = nn.Linear(before * 16, contents)
        self.style = nn.Linear(before, styles)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits ``(n, contents)`` and ``(n, styles)``."""
        features = self.body(images)
        return self.content(features.flatten(1)), self.style(features.mean(dim=(2, 3)))


def save_classifier(classifier: Classifier, folder: Path, contents: Sequence[str], styles: Sequence[str]) -> None:
    """Write weights and class names."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.half() if v.is_floating_point() else v for k, v in classifier.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"contents": [*contents], "styles": [*styles]}, indent=1))


def load_classifier(folder: Path) -> Classifier:
    """Read a classifier written by `save_classifier`, frozen."""
    classifier = Classifier(*map(len, _class_names(folder)))
    weights = folder / "model.safetensors"
    state = read_tensors(weights, "model", _EXPECTED).content
    with reading(weights, "model", _EXPECTED):
        classifier.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return classifier.eval().requires_grad_(False)


def _class_names(folder: Path) -> tuple[list[str], list[str]]:
    """The contents and the styles."""
    file = folder / "config.json"
    config = read_json(file, "model", _EXPECTED)
    with reading(file, "model", _EXPECTED):
        contents, styles = config["contents"], config["styles"]
        if any(not isinstance(name, str) for name in [*contents, *styles]) or not contents or not styles:
            raise TypeError("its contents and styles are no names")
    return contents, styles


class ClassifierJudge(Judge):
    """Says which content and style a picture shows, where reference and prompt are among its classes.

    Args:
        model: "miniature" for the classifier shipped in `weights/miniature/classifier`, or a folder that
            `save_classifier` wrote.
        cache: a folder in which what it sees in each picture is kept from run to run; None remembers in memory.

    Raises:
        FileNotFoundError: there is no classifier in the folder.
    """

    def __init__(self, model: str = "miniature", cache: str | None = None) -> None:
        self.model, self.cache = model, cache
        self._folder = _MINIATURE if model == "miniature" else Path(model)
        if missing := [name for name in ("config.json", "model.safetensors") if not (self._folder / name).is_file()]:
            raise FileNotFoundError(
                f"`model` was {model!r}, and there is no {' and no '.join(missing)} in `{self._folder}`. Expected "
                "'miniature', in a checkout that has `weights` beside `callbacks`, or the folder of a classifier."
            )
        self.contents, self.styles = _class_names(self._folder)
        self.device = torch.device("cpu")
        self._network: Classifier | None = None
        self._store: FeatureStore | None = None

    @property
    def name(self) -> str:
        """The model, told apart from a CLIP of the same name."""
        return f"{self.model} classifier"

    @override
    def to(self, device: torch.device | str) -> Self:
        self.device = torch.device(device)
        if self._network is not None:
            self._network.to(self.device)
        return self

    def probabilities(self, images: Sequence[Image.Image]) -> tuple[Tensor, Tensor]:
        """Of contents (batch, contents) and of styles (batch, styles), float64 on the CPU; RGB pictures of any size."""
        if self._store is None:
            size = len(self.contents) + len(self.styles)
            self._store = FeatureStore(self.cache, identity(self.model, self._folder), size)
        roots = self._store(list(map(image_key, images)), images, self._encode)
        content, style = (2 * roots.double() ** 2).split([len(self.contents), len(self.styles)], dim=1)
        return content, style

    @override
    def verdict(self, predicted: Predicted, contents: Sequence[str]) -> Verdict:
        """What it sees, among all its classes: `contents` are not asked for."""
        content, style = self.probabilities(predicted.images)
        shown = _labels(self.contents, [p.content for p in predicted.predictions])
        drawn_in = _labels(self.styles, [p.style for p in predicted.predictions])
        asked = torch.tensor([self._asked(p.prompt) for p in predicted.predictions])
        seen, knows_shown, knows_asked = content.argmax(dim=1), shown != _NONE, asked != _NONE
        leaked = _of(content, shown) > _of(content, asked)
        # A picture of what was asked for is no leak, though the reference shows the same.
        leaked_among = scores.agreement(seen, shown) & (shown != asked)
        return Verdict(
            {
                LEAKED: _known(leaked, knows_shown & knows_asked),
                AMONG: _known(leaked_among, knows_shown),
                STYLE_SEEN: _known(scores.agreement(style.argmax(dim=1), drawn_in), drawn_in != _NONE),
                PROMPT_SEEN: _known(scores.agreement(seen, asked), knows_asked),
            }
        )

    def _asked(self, prompt: str) -> int:
        """The one content that a prompt names, `_NONE` if it names none or several."""
        named = [place for place, content in enumerate(self.contents) if _names(prompt, content)]
        return named[0] if len(named) == 1 else _NONE

    @torch.no_grad()
    def _encode(self, images: list[Image.Image]) -> Tensor:
        """Roots of all probabilities, halved: unit vectors (batch, contents + styles), as the store keeps them."""
        if self._network is None:
            self._network = load_classifier(self._folder).to(self.device)
        pixels = np.stack([np.asarray(ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BICUBIC)) for image in images])
        inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device).float() / 127.5 - 1
        logits = self._network(inputs)
        return torch.cat([(part.cpu().double().softmax(dim=1) / 2).sqrt() for part in logits], dim=1)


def _labels(classes: Sequence[str], names: Sequence[str]) -> Tensor:
    places = {name: place for place, name in enumerate(classes)}
    return torch.tensor([places.get(name, _NONE) for name in names])


def _names(prompt: str, content: str) -> bool:
    return re.search(rf"\b{re.escape(content)}\b", prompt, re.IGNORECASE) is not None


def _of(probabilities: Tensor, labels: Tensor) -> Tensor:
    """The probability of each picture's label; anything where it is no class."""
    return probabilities.gather(1, labels.clamp(min=0)[:, None])[:, 0]


def _known(values: Tensor, is_known: Tensor) -> Tensor:
    return values.float().where(is_known, torch.nan)
