"""A judge that is no CLIP: a small classifier of contents and styles."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file
from torch import Tensor, nn
from typing_extensions import override

from callbacks.scoring.features import FeatureStore, image_key
from callbacks.scoring.judge import AMONG, LEAKED, PROMPT_SEEN, SHIPPED, STYLE_SEEN, Judge, Verdict, identity
from datamodules.reading import read_json, reading
from lightning_modules.outputs import Predicted, Prediction
from lightning_modules.tensor_files import read_tensors

SIZE = 64  # pixels a side of the pictures that the classifier is trained on
_EXPECTED = "Expected the folder of a classifier that `save_classifier` wrote, or 'miniature'."


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
        super().__init__(model, cache)
        self.contents, self.styles = _class_names(self.find())

    @property
    def name(self) -> str:
        """The model, told apart from a CLIP of the same name."""
        return f"{self.model} classifier"

    @override
    def find(self) -> Path:
        folder = SHIPPED / "classifier" if self.model == "miniature" else Path(self.model)
        if missing := [name for name in ("config.json", "model.safetensors") if not (folder / name).is_file()]:
            raise FileNotFoundError(
                f"`model` was {self.model!r}, and there is no {' and no '.join(missing)} in `{folder}`. Expected "
                "'miniature', in a checkout that has `weights` beside `callbacks`, or the folder of a classifier."
            )
        return folder

    def probabilities(self, images: Sequence[Image.Image]) -> tuple[Tensor, Tensor]:
        """Of contents (batch, contents) and of styles (batch, styles), float64 on the CPU; RGB pictures of any size."""
        if self._store is None:
            size = len(self.contents) + len(self.styles)
            self._store = FeatureStore(self.cache, identity(self.model, self.find()), size)
        roots = self._store(image_key, images, self._encode)
        content, style = (2 * roots.double() ** 2).split([len(self.contents), len(self.styles)], dim=1)
        return content, style

    @override
    def verdict(self, predicted: Predicted, contents: Sequence[str]) -> Verdict:
        """What it sees, among all its classes: `contents` are not asked for."""
        content, style = self.probabilities(predicted.images)
        said = [self._said(*each) for each in zip(content, style, predicted.predictions, strict=True)]
        tags = LEAKED, AMONG, STYLE_SEEN, PROMPT_SEEN
        return Verdict({tag: torch.tensor([float(each.get(tag, torch.nan)) for each in said]) for tag in tags})

    def _said(self, content: Tensor, style: Tensor, prediction: Prediction) -> dict[str, bool]:
        """Of one picture; a prompt that names no content, or several, asks for none."""
        found = [
            name for name in self.contents if re.search(rf"\b{re.escape(name)}\b", prediction.prompt, re.IGNORECASE)
        ]
        asked = found[0] if len(found) == 1 else None
        shown, seen, said = prediction.content, self.contents[content.argmax()], {}
        if asked is not None:
            said[PROMPT_SEEN] = seen == asked
        if shown in self.contents:
            # A picture of what was asked for is no leak, though the reference shows the same.
            said[AMONG] = seen == shown != asked
            if asked is not None:
                said[LEAKED] = bool(content[self.contents.index(shown)] > content[self.contents.index(asked)])
        if prediction.style in self.styles:
            said[STYLE_SEEN] = self.styles[style.argmax()] == prediction.style
        return said

    @torch.no_grad()
    def _encode(self, images: list[Image.Image]) -> Tensor:
        """Roots of all probabilities, halved: unit vectors (batch, contents + styles), as the store keeps them."""
        if self._network is None:
            self._network = load_classifier(self.find()).to(self.device)
        pixels = np.stack([np.asarray(ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BICUBIC)) for image in images])
        inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device).float() / 127.5 - 1
        logits = self._network(inputs)
        return torch.cat([(part.cpu().double().softmax(dim=1) / 2).sqrt() for part in logits], dim=1)
