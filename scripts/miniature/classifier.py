"""Train the small classifier of contents and styles: a second judge that is no CLIP."""

import argparse
import json
import logging
from pathlib import Path

import torch
from lightning import seed_everything
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.miniature.images import (
    ALL_CONTENTS,
    ALL_STYLES,
    FRESH_SEED,
    TRAINING_SEED,
    Drawn,
    augment,
    drawn_images,
    to_unit_range,
)
from scripts.miniature.training import Stage, options, train


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


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write weights and class names."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.half() if v.is_floating_point() else v for k, v in classifier.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"contents": ALL_CONTENTS, "styles": ALL_STYLES}, indent=1))


def load_classifier(folder: Path) -> Classifier:
    """Read a classifier written by `save_classifier`, frozen."""
    names = json.loads((folder / "config.json").read_text())
    classifier = Classifier(len(names["contents"]), len(names["styles"]))
    state = load_file(folder / "model.safetensors")
    classifier.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return classifier.eval().requires_grad_(False)


class ClassifierStage(Stage):
    """Cross-entropy of content and style."""

    def __init__(self, arguments: argparse.Namespace, drawn: Drawn) -> None:
        super().__init__(arguments)
        self.classifier, self.drawn = Classifier(len(ALL_CONTENTS), len(ALL_STYLES)), drawn

    def training_step(self, rows: Tensor) -> Tensor:
        images = augment(to_unit_range(self.drawn.images[rows.numpy()]), self.noise_source())
        contents, styles = self.drawn.contents[rows], self.drawn.styles[rows]
        content, style = self.classifier(images)
        self.log_dict(
            {
                "content_accuracy": (content.argmax(dim=1) == contents).float().mean(),
                "style_accuracy": (style.argmax(dim=1) == styles).float().mean(),
            },
            prog_bar=True,
        )
        return F.cross_entropy(content, contents) + F.cross_entropy(style, styles)


@torch.no_grad()
def accuracy(classifier: Classifier, drawn: Drawn) -> tuple[float, float]:
    """Accuracy (content, style) on images that were not trained on."""
    parts = [classifier(to_unit_range(drawn.images[i : i + 300])) for i in range(0, len(drawn.images), 300)]
    content, style = (torch.cat(logits).argmax(dim=1) for logits in zip(*parts, strict=True))
    return float((content == drawn.contents).float().mean()), float((style == drawn.styles).float().mean())


def main() -> None:
    parser = options(__doc__ or "", steps=900, batch_size=128, lr=2e-3)
    arguments = parser.parse_args()
    seed_everything(arguments.seed)
    drawn = drawn_images(arguments.work, arguments.per_pair, TRAINING_SEED)
    stage = ClassifierStage(arguments, drawn)
    train(stage, arguments, len(drawn.images), "classifier", decay=0.99)
    content, style = accuracy(stage.classifier.eval(), drawn_images(arguments.work, 10, FRESH_SEED))
    logging.getLogger(__name__).info("fresh images: content %.3f, style %.3f", content, style)
    save_classifier(stage.classifier, arguments.weights / "classifier")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
