"""Train the small classifier of contents and styles: a second judge that is no CLIP."""

import argparse

from torch import Tensor
from torch.nn import functional as F

from callbacks.scoring.classifier_judge import Classifier, save_classifier
from datamodules.files import replacing_folder
from scripts.miniature.training import ALL_CONTENTS, ALL_STYLES, Stage, augment, run, to_unit_range


class ClassifierStage(Stage):
    """Cross-entropy of content and style."""

    decay = 0.99
    steps, batch_size, lr = 900, 128, 2e-3

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        self.classifier = Classifier(len(ALL_CONTENTS), len(ALL_STYLES))

    def training_step(self, rows: Tensor) -> Tensor:
        images = augment(to_unit_range(self.drawn.images[rows.numpy()]), self.noise_source())
        truths = {"content": self.drawn.contents[rows], "style": self.drawn.styles[rows]}
        losses = []
        for (name, truth), logits in zip(truths.items(), self.classifier(images), strict=True):
            self.log(f"{name}_accuracy", (logits.argmax(dim=1) == truth).float().mean(), prog_bar=True)
            losses.append(F.cross_entropy(logits, truth))
        return losses[0] + losses[1]

    def save(self) -> None:
        """The classifier, judged on images that it was not trained on."""
        self.tell_accuracy(self.classifier)
        with replacing_folder((self.weights / "classifier").resolve(), "weights") as new:
            save_classifier(self.classifier, new, ALL_CONTENTS, ALL_STYLES)


if __name__ == "__main__":
    run(ClassifierStage, "classifier", __doc__)
