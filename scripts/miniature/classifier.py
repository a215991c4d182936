"""Train the small classifier of contents and styles: a second judge that is no CLIP."""

import argparse
import logging

import torch
from lightning import seed_everything
from torch import Tensor
from torch.nn import functional as F

from callbacks.scoring.classifier_judge import Classifier, save_classifier
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
from scripts.stopping import stoppable


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
    save_classifier(stage.classifier, arguments.weights / "classifier", ALL_CONTENTS, ALL_STYLES)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with stoppable():
        main()
