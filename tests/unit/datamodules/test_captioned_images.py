import json
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from datamodules.batch_sampler import EpochBatchSampler
from datamodules.captioned_images import CaptionedImages
from datamodules.style_references import StyleReferences
from tests.unit.datamodules.folders import write_folder, write_image
from tests.unit.datamodules.test_data_configs import BENEATH, over, read


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_folder(root / "test", ("bird", "cat"), ("statue",), per_style=2)
    for number in range(7):
        write_image(root / f"{number}.png", (number, 0, 0))
    lines = [json.dumps({"image": f"{number}.png", "prompt": f"Number {number}"}) for number in range(7)]
    (root / "captions.jsonl").write_text("\n".join(lines))
    return root


def make(data: Path) -> CaptionedImages:
    return CaptionedImages(str(data / "captions.jsonl"), test=str(data / "test"), batch_size=3, prompts=["A rocket"])


def test_training_sees_each_caption_once_an_epoch_in_a_seeded_order_that_resumes(data: Path) -> None:
    images = make(data)
    images.setup("fit")
    loader = images.train_dataloader()
    batches = list(loader)
    seen = [reference.content for batch in batches for reference in batch["references"]]
    assert [len(batch["content_maps"]) for batch in batches] == [3, 3, 1]
    order = [index for batch in EpochBatchSampler(7, 3, seed=42) for index in batch]
    assert seen == [f"Number {index}" for index in order]
    assert [image.getpixel((0, 0))[0] for batch in batches for image in batch["images"]] == order
    resumed = make(data).train_dataloader()
    resumed.load_state_dict(loader.state_dict() | {"batches_done": 2})
    assert [r.content for batch in resumed for r in batch["references"]] == seen[6:]


def test_all_other_stages_are_those_of_style_references(data: Path) -> None:
    ours, theirs = make(data), StyleReferences("", str(data / "test"), prompts=["A rocket"])
    for loader in ("val_dataloader", "test_dataloader", "predict_dataloader"):
        assert [batch["jobs"] for batch in getattr(ours, loader)()] == [
            batch["jobs"] for batch in getattr(theirs, loader)()
        ]
    assert ours.content_prompts == ["A bird", "A cat"]


def test_a_missing_file_is_named_before_a_model_is_loaded_and_in_training_alone(data: Path, tmp_path: Path) -> None:
    images = CaptionedImages(str(tmp_path / "none.jsonl"), test=str(data / "test"))
    images.setup("predict")
    with pytest.raises(FileNotFoundError, match="`captions`: there is no file"):
        images.setup("fit")


def test_the_command_line_takes_the_arguments_of_both_classes() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(CaptionedImages, "data")
    settings = parser.parse_args(["--data.captions=c.jsonl", "--data.test=t", "--data.batch_size=4"])
    images = parser.instantiate_classes(settings).data
    assert (images.captions, images.test, images.batch_size) == ("c.jsonl", "t", 4)
    assert "train" not in settings.data
    assert "File of JSON lines" in " ".join(parser.format_help().split())


@pytest.mark.parametrize("first", BENEATH)
def test_the_config_goes_over_what_lies_beneath(first: str) -> None:
    images = over(BENEATH[first], read("captioned_images"))
    assert type(images) is CaptionedImages
    assert (images.captions, images.test) == ("data/captions.jsonl", "data/object_test")
    assert (images.prompts, images.generation_batch_size) == (["A dog"], 60)
