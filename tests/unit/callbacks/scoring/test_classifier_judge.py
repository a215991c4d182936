"""The classifier as a judge: what it says about whom, against its network by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks.scoring.classifier_judge import Classifier, ClassifierJudge, load_classifier, save_classifier
from callbacks.scoring.judge import Verdict
from datamodules.batches import Prediction
from datamodules.miniature.generate import draw
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES
from lightning_modules.outputs import Predicted
from tests.float64 import FEW_ROUNDINGS, assert_same
from tests.unit.callbacks.scored_pictures import CLASSES, STYLES, write_classifier

NAN = float("nan")


def prediction(content: str, style: str, prompt: str) -> Prediction:
    return Prediction("p.png", "m", "k", "k.png", content, style, prompt, 0, None, None, {})


class Told(ClassifierJudge):
    """Sees the content and style whose places a picture's first two colours name, and then the next content."""

    def probabilities(self, images: list[Image.Image]) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        colours = np.stack([np.asarray(image)[0, 0] for image in images]).astype(int)
        content, style = torch.eye(3)[colours[:, 0]], torch.eye(2)[colours[:, 1]]
        return 0.6 * content + 0.4 * content.roll(1, dims=1), style


def told(tmp_path: Path, sees: str, style: str, asked: Prediction) -> list[float]:
    judge = Told(write_classifier(tmp_path / "classifier"))
    picture = Image.new("RGB", (8, 8), (CLASSES.index(sees), STYLES.index(style), 0))
    verdict = judge.verdict(Predicted([picture], [asked], [picture]), [])
    assert verdict.generated is None
    return [float(value) for value in verdict.values.values()]


@pytest.mark.parametrize(
    ("sees", "style", "asked", "expected"),
    # leaked, leaked among all, style, prompt; the classes are bird, bench, rocket, and lego toy, pop art
    [
        ("bird", "pop art", prediction("bird", "pop art", "A bench"), [1, 1, 1, 0]),
        ("bench", "pop art", prediction("bird", "lego toy", "A bench"), [0, 0, 0, 1]),
        ("bench", "pop art", prediction("rocket", "pop art", "a Bird, best quality"), [1, 0, 1, 0]),
        ("rocket", "pop art", prediction("bench", "line art", "A rocket"), [0, 0, NAN, 1]),
        ("bird", "lego toy", prediction("cat", "", "A bench"), [NAN, NAN, NAN, 0]),
        ("bird", "lego toy", prediction("bird", "", "A temple"), [NAN, 1, NAN, NAN]),
        ("bird", "lego toy", prediction("bird", "", "A rocket on a bench"), [NAN, 1, NAN, NAN]),
        ("bird", "lego toy", prediction("bird", "", "Birds, rocketing"), [NAN, 1, NAN, NAN]),
        ("bird", "lego toy", prediction("bird", "", "A bird"), [0, 0, NAN, 1]),  # as asked for
    ],
)
def test_verdicts(tmp_path: Path, sees: str, style: str, asked: Prediction, expected: list[float]) -> None:
    assert told(tmp_path, sees, style, asked) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (200, 100)])
def test_probabilities_equal_the_network_by_hand(tmp_path: Path, size: tuple[int, int]) -> None:
    judge = ClassifierJudge(write_classifier(tmp_path))
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    square = image.crop((50, 0, 150, 100)) if size == (200, 100) else image
    small = np.asarray(square.resize((64, 64), Image.Resampling.BICUBIC) if size != (64, 64) else square)
    logits = load_classifier(tmp_path)(torch.tensor(small / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)[None])
    for found, expected in zip(judge.probabilities([image]), logits, strict=True):
        assert_same(found, expected.double().softmax(dim=1), FEW_ROUNDINGS)


def test_the_shipped_one_sees_what_was_drawn() -> None:
    """In pictures that no network has been trained on, whatever their size."""
    judge, contents = ClassifierJudge(), (*CONTENTS, *PROMPT_CONTENTS)
    assert judge.name == "miniature classifier"
    pairs = [(content, TEST_STYLES[place % 10]) for place, content in enumerate(contents)]
    images = [draw(content, style, 3_000_000, size=64 * (1 + n % 2)) for n, (content, style) in enumerate(pairs)]
    predictions = [prediction(content, style, f"A {content}") for content, style in pairs]
    verdict: Verdict = judge.verdict(Predicted(images, predictions, images), [])
    assert verdict.values["agreement/prompt"].mean() >= 0.9
    assert verdict.values["agreement/style"].mean() >= 0.9


def test_saved_and_loaded_and_frozen(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = Classifier(2, 1).eval()
    save_classifier(classifier, tmp_path, ["a", "b"], ["c"])
    loaded, images = load_classifier(tmp_path), torch.randn(2, 3, 64, 64)
    assert_same(loaded(images), classifier.half().to(torch.float32)(images), FEW_ROUNDINGS)  # kept in half precision
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    judge = ClassifierJudge(str(tmp_path))
    assert (judge.contents, judge.styles, judge.name) == (["a", "b"], ["c"], f"{tmp_path} classifier")
    assert not isinstance(judge, torch.nn.Module)  # a module that holds it would save it
    text = r"`model` was '.*', and there is no config.json and no model.safetensors in `.*`. Expected 'miniature', in a"
    with pytest.raises(FileNotFoundError, match=text):
        ClassifierJudge(str(tmp_path / "nowhere"))
