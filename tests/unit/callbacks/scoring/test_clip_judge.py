"""ClipJudge and StyleJudge against transformers called by hand; frozen, remembered and outside of checkpoints."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from callbacks.scoring.clip_judge import ClipJudge, StyleJudge
from tests.float64 import FEW_ROUNDINGS, assert_same
from tests.tiny import write_tiny_judge


def pictures(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def as_saved(images: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray((x.permute(1, 2, 0) * 255).round().byte().numpy()) for x in images]


@pytest.fixture
def judge(tiny_judge: Path) -> ClipJudge:
    return ClipJudge(str(tiny_judge))


def test_features_equal_transformers_by_hand(judge: ClipJudge, tiny_judge: Path) -> None:
    from transformers import CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    clip = CLIPModel.from_pretrained(tiny_judge).eval()
    texts = ["An airplane", "A rocket", "A long prompt of a dog"]
    with torch.no_grad():
        pixels = CLIPImageProcessorPil.from_pretrained(tiny_judge)(as_saved(pictures()), return_tensors="pt")
        image = clip.get_image_features(**pixels).pooler_output
        tokens = CLIPTokenizer.from_pretrained(tiny_judge)(texts, padding=True, return_tensors="pt")
        text = clip.get_text_features(**tokens).pooler_output
    assert_same(judge.image_features(pictures()), image / image.norm(dim=-1, keepdim=True), FEW_ROUNDINGS)
    assert torch.equal(judge.image_features(pictures()), judge.image_features(as_saved(pictures())))
    assert_same(judge.text_features(texts), text / text.norm(dim=-1, keepdim=True), FEW_ROUNDINGS)


def test_texts_and_references_are_encoded_once(judge: ClipJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, images = ["A dog", "A cat", "A dog"], as_saved(pictures(2))
    first = judge.text_features(texts), judge.reference_features([images[0], images[1], images[0]])
    monkeypatch.setattr(judge, "_encode_texts", None)
    monkeypatch.setattr(judge, "_encode_images", None)
    assert torch.equal(judge.text_features(texts), first[0])
    assert torch.equal(judge.reference_features([images[0].copy(), images[1], images[0]]), first[1])
    assert torch.equal(first[1][0], first[1][2])
    assert not torch.equal(first[1][0], first[1][1])


def test_loaded_on_first_use_frozen_and_in_no_module(judge: ClipJudge) -> None:
    assert judge._network is None
    features = judge.to("cpu").image_features(pictures())
    assert judge._network is not None and not judge._network.training
    assert not features.requires_grad
    assert not any(parameter.requires_grad for parameter in judge._network.parameters())
    assert not isinstance(judge, torch.nn.Module)  # a module that holds it would save it
    assert next(judge.to("meta")._network.parameters()).device.type == "meta"


def test_names_and_a_missing_miniature(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("callbacks.scoring.clip_judge._MINIATURE", tmp_path / "judge")
    with pytest.raises(FileNotFoundError, match=r"`model` is 'miniature', the judge in `.*judge`.* no such folder"):
        ClipJudge().text_features(["A dog"])
    assert ClipJudge().name == "miniature"
    assert ClipJudge("openai/clip-vit-base-patch32", revision="3d74acf").name == "openai/clip-vit-base-patch32@3d74acf"


def copy_of(folder: Path, target: Path, *left_out: str) -> Path:
    target.mkdir()
    for file in folder.iterdir():
        if file.name not in left_out:
            (target / file.name).write_bytes(file.read_bytes())
    return target


def test_kept_features_are_the_same_and_need_no_network(tiny_judge: Path, tmp_path: Path) -> None:
    plain, first = ClipJudge(str(tiny_judge)), ClipJudge(str(tiny_judge), cache=str(tmp_path))
    images, texts = as_saved(pictures()), ["A dog", "A cat"]
    expected = plain.image_features(pictures()), plain.text_features(texts)
    assert torch.equal(first.image_features(pictures()), expected[0])
    assert torch.equal(first.text_features(texts), expected[1])
    second = ClipJudge(str(tiny_judge), cache=str(tmp_path))
    assert torch.equal(second.image_features(images), expected[0])
    assert torch.equal(second.reference_features(images[::-1]), expected[0].flip(0))
    assert torch.equal(second.text_features(texts), expected[1])
    assert second._network is None  # not even loaded


def test_other_weights_in_the_same_folder_are_another_judge(tiny_judge: Path, tmp_path: Path) -> None:
    folder, cache = copy_of(tiny_judge, tmp_path / "judge"), str(tmp_path / "cache")
    before = ClipJudge(str(folder), cache=cache).image_features(pictures())
    write_tiny_judge(folder, seed=2)
    after = ClipJudge(str(folder), cache=cache).image_features(pictures())
    assert torch.equal(after, ClipJudge(str(folder)).image_features(pictures()))
    assert not torch.allclose(after, before)


def test_a_pinned_judge_with_kept_features_need_not_be_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, judge = as_saved(pictures()), ClipJudge("owner/judge", "0" * 40, str(tmp_path))
    features = torch.eye(3, 8)
    monkeypatch.setattr(judge, "_encode_images", lambda images: features)
    judge.image_features(images)
    assert torch.equal(ClipJudge("owner/judge", "0" * 40, str(tmp_path)).image_features(images), features)


@pytest.fixture
def style_folder(tiny_judge: Path, tmp_path: Path) -> Path:
    """A vision tower with a projection as the style judges are, in a folder without texts."""
    from transformers import CLIPVisionModelWithProjection

    folder = copy_of(
        tiny_judge, tmp_path / "style", "model.safetensors", "vocab.json", "merges.txt", "tokenizer_config.json"
    )
    tower = CLIPVisionModelWithProjection.from_pretrained(tiny_judge)
    torch.nn.init.normal_(tower.visual_projection.weight, generator=torch.Generator().manual_seed(5))
    tower.save_pretrained(folder)
    return folder


def test_style_features_equal_transformers_by_hand(style_folder: Path) -> None:
    from transformers import CLIPVisionModelWithProjection
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tower = CLIPVisionModelWithProjection.from_pretrained(style_folder).eval()
    with torch.no_grad():
        pixels = CLIPImageProcessorPil.from_pretrained(style_folder)(as_saved(pictures()), return_tensors="pt")
        expected = tower(**pixels).image_embeds
    judge = StyleJudge(str(style_folder))
    features = judge.image_features(pictures())
    assert_same(features, expected / expected.norm(dim=-1, keepdim=True), FEW_ROUNDINGS)
    alone = torch.cat([judge.image_features([image]) for image in as_saved(pictures())])
    assert torch.equal(judge.reference_features(as_saved(pictures())), alone)
    assert not features.requires_grad


def test_a_style_judge_reads_no_texts_and_may_be_the_tower_of_a_whole_clip(
    style_folder: Path, tiny_judge: Path, judge: ClipJudge
) -> None:
    of_style = StyleJudge(str(tiny_judge)).image_features(pictures())
    assert_same(of_style, judge.image_features(pictures()), FEW_ROUNDINGS)
    assert ClipJudge.reads_texts and not StyleJudge.reads_texts
    with pytest.raises(
        ValueError, match=r"`judge`: the style judge `.*style` reads no texts, .* a `ClipJudge` for this"
    ):
        StyleJudge(str(style_folder)).text_features(["A dog"])


def test_texts_that_are_cut_are_counted(judge: ClipJudge, tiny_judge: Path, tmp_path: Path) -> None:
    long, short = "dog " * 200, "A dog"
    features = judge.text_features([short, long, long])
    assert features.norm(dim=1).tolist() == pytest.approx([1, 1, 1], abs=FEW_ROUNDINGS)
    assert judge.cut_texts == {long: 202}
    for _ in range(2):  # also where its features are kept
        kept = ClipJudge(str(tiny_judge), cache=str(tmp_path))
        kept.text_features([short, long])
        assert kept.cut_texts == {long: 202}


Damage = Callable[[Path], object]


def without_files(*names: str) -> Damage:
    """All of them where none is named."""
    return lambda folder: [file.unlink() for file in folder.iterdir() if not names or file.name in names]


def with_few_merges(folder: Path) -> None:
    (folder / "merges.txt").write_text("\n".join((folder / "merges.txt").read_text().splitlines()[:20]))


def without_weight(name: str) -> Damage:
    def damage(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        del weights[name]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return damage


def with_processor(text: str | None = None, **settings: object) -> Damage:
    whole = {"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "size": 16, "crop_size": 16}
    content = json.dumps(whole | settings) if text is None else text
    return lambda folder: (folder / "preprocessor_config.json").write_text(content)


DAMAGED = r"`model` of the judge .*preprocessor_config.json' is damaged.*"


@pytest.mark.parametrize(
    ("kind", "damage", "told"),
    [
        (ClipJudge, without_files(), "cannot be loaded as CLIP .* preprocessor_config.json of a CLIP"),
        (ClipJudge, without_files("vocab.json", "merges.txt"), "`model`: the judge .* tokenizer"),
        (ClipJudge, with_few_merges, "`model` of the judge .* merges are: 19"),
        (ClipJudge, without_weight("text_projection.weight"), "do not fit CLIP; missing .*: text_projection.weight"),
        (StyleJudge, without_weight("visual_projection.weight"), "visual_proj.* complete CLIP vision tower with proj"),
        # An image processor that says too little does not become another.
        (ClipJudge, with_processor(""), f"{DAMAGED}not JSON"),
        (ClipJudge, with_processor("[]"), f"{DAMAGED}not an object"),
        (ClipJudge, with_processor("{}"), f"{DAMAGED}it lacks image_mean, image_std, size"),
        (ClipJudge, with_processor(image_mean="x"), DAMAGED),
        (ClipJudge, with_processor(image_std=[0, 1, 1]), f"{DAMAGED}are no numbers"),
        (ClipJudge, with_processor(crop_size=8), f"{DAMAGED}expected 16 x 16"),
        (ClipJudge, with_processor(size=1_000_000), f"{DAMAGED}do not fit"),
    ],
)
def test_refused_folders(tiny_judge: Path, tmp_path: Path, kind: type[ClipJudge], damage: Damage, told: str) -> None:
    folder = copy_of(tiny_judge, tmp_path / "judge")
    damage(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        kind(str(folder)).image_features(pictures())
