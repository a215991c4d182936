"""ClipJudge against transformers called by hand, and that it is frozen, remembered and outside of checkpoints."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from callbacks.judges import ClipJudge


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
    with torch.no_grad():
        pixels = CLIPImageProcessorPil.from_pretrained(tiny_judge)(as_saved(pictures()), return_tensors="pt")
        image = clip.get_image_features(**pixels).pooler_output
        tokens = CLIPTokenizer.from_pretrained(tiny_judge)("A rocket", return_tensors="pt")
        text = clip.get_text_features(**tokens).pooler_output
    torch.testing.assert_close(judge.image_features(pictures()), image / image.norm(dim=-1, keepdim=True))
    torch.testing.assert_close(
        judge.text_features(["An airplane", "A rocket", "A long prompt of a dog"])[1:2], text / text.norm()
    )


def test_a_picture_scores_the_same_before_and_after_it_was_saved(judge: ClipJudge) -> None:
    assert torch.equal(judge.image_features(pictures()), judge.image_features(as_saved(pictures())))


def test_very_long_texts_are_cut_to_what_the_model_reads(judge: ClipJudge) -> None:
    assert judge.text_features(["dog " * 200]).norm().item() == pytest.approx(1, abs=1e-5)


def test_texts_and_references_are_encoded_once(judge: ClipJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, images = ["A dog", "A cat", "A dog"], as_saved(pictures(2))
    first = judge.text_features(texts), judge.reference_features([images[0], images[1], images[0]])
    monkeypatch.setattr(judge, "_encode_texts", None)
    monkeypatch.setattr(judge, "image_features", None)
    assert torch.equal(judge.text_features(texts), first[0])
    assert torch.equal(judge.reference_features([images[0].copy(), images[1], images[0]]), first[1])
    assert torch.equal(first[1][0], first[1][2])
    assert not torch.equal(first[1][0], first[1][1])


def test_frozen_in_eval_mode_and_in_no_module(judge: ClipJudge) -> None:
    features = judge.image_features(pictures())
    assert judge._clip is not None
    assert not judge._clip.training
    assert not features.requires_grad
    assert not any(parameter.requires_grad for parameter in judge._clip.parameters())
    assert not isinstance(judge, torch.nn.Module)  # a module that holds it would save it


def test_loaded_on_first_use_and_moved_with_its_device(judge: ClipJudge) -> None:
    assert judge._clip is None
    judge.to("cpu").text_features(["A dog"])
    assert judge._clip is not None
    assert next(judge.to("meta")._clip.parameters()).device.type == "meta"


def test_names() -> None:
    assert ClipJudge().name == "miniature"
    assert ClipJudge("openai/clip-vit-base-patch32", revision="3d74acf").name == "openai/clip-vit-base-patch32@3d74acf"


def test_missing_miniature(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("callbacks.judges._MINIATURE", tmp_path / "judge")
    with pytest.raises(FileNotFoundError, match=r"`model` is 'miniature', the judge in `.*judge`.* no such folder"):
        ClipJudge().text_features(["A dog"])


def test_folder_without_a_clip(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot be loaded as CLIP .* preprocessor_config.json of a CLIP"):
        ClipJudge(str(tmp_path)).text_features(["A dog"])


def copy_of(folder: Path, target: Path, *left_out: str) -> Path:
    target.mkdir()
    for file in folder.iterdir():
        if file.name not in left_out:
            (target / file.name).write_bytes(file.read_bytes())
    return target


def test_folder_without_tokenizer_files(tiny_judge: Path, tmp_path: Path) -> None:
    names = ["vocab.json", "merges.txt", "tokenizer.json"]
    folder = copy_of(tiny_judge, tmp_path / "judge", *names)
    with pytest.raises((ValueError, FileNotFoundError), match=r"`model`: the judge .* tokenizer"):
        ClipJudge(str(folder)).text_features(["A dog"])


def test_incomplete_weights(tiny_judge: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy_of(tiny_judge, tmp_path / "judge")
    weights = load_file(folder / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"do not fit CLIP; missing or of another shape: text_projection.weight"):
        ClipJudge(str(folder)).text_features(["A dog"])
