"""`maskst export`: any trained adapter as safetensors, with what is known of its training."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from lightning_modules.adapters import ImageAdapter, TextAdapter
from lightning_modules.conditions.trained import TrainedAdapter
from lightning_modules.diffusion.config import Backbone
from scripts import export as module
from scripts.cli import main
from scripts.export import export, project_version

E1 = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
STATES = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1))


def write_checkpoint(path: Path, **hyper_parameters: Any) -> Path:
    adapter = TextAdapter(6, 4)
    state = {f"condition.adapter.{key}": tensor for key, tensor in adapter.state_dict().items()}
    record = {"kind": adapter.kind, **adapter.settings}
    content = {"state_dict": state, "adapter": record, "global_step": 480, "hyper_parameters": hyper_parameters}
    torch.save({**content, "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(4)}}}]}, path)
    return path


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def test_a_checkpoint_gives_identical_features_and_its_provenance(tmp_path: Path) -> None:
    backbone = {"model": "owner/name", "dtype": "float16"}
    checkpoint = write_checkpoint(tmp_path / "a.ckpt", strength=0.7, rescale=False, backbone=backbone, seed=3)
    out = export(str(checkpoint), str(tmp_path / "new" / "a.safetensors"))
    before, after = TrainedAdapter(str(checkpoint)), TrainedAdapter(str(out))
    assert torch.equal(after(E1, text_states=STATES).feature, before(E1, text_states=STATES).feature)
    said = metadata(out)
    assert json.loads(said.pop("backbone")) == backbone
    assert said == {
        "kind": "TextAdapter",
        "dim": "6",
        "text_dim": "4",
        "global_step": "480",
        "strength": "0.7",
        "rescale": "false",
        "maskst_version": project_version(),
    }
    assert [path.name for path in out.parent.iterdir()] == ["a.safetensors"]


def test_a_backbone_given_in_python_is_written_as_the_same_mapping(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "a.ckpt", backbone=Backbone("owner/name", dtype="bfloat16"))
    said = json.loads(metadata(export(str(checkpoint), str(tmp_path / "a.safetensors")))["backbone"])
    assert (said["model"], said["dtype"], said["vae"]) == ("owner/name", "bfloat16", None)


def test_tensors_alone_are_taken_too_and_metadata_is_kept(tmp_path: Path) -> None:
    adapter = ImageAdapter(6)
    torch.save(adapter.state_dict(), tmp_path / "pytorch_model.bin")
    first = export(str(tmp_path / "pytorch_model.bin"), str(tmp_path / "first.safetensors"))
    assert metadata(first) == {"kind": "ImageAdapter", "dim": "6", "maskst_version": project_version()}
    trained = export(str(write_checkpoint(tmp_path / "a.ckpt", strength=0.5)), str(tmp_path / "b.safetensors"))
    assert metadata(export(str(trained), str(tmp_path / "c.safetensors"))) == metadata(trained)


def test_a_file_that_is_there_is_replaced_on_request_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, out = write_checkpoint(tmp_path / "a.ckpt"), tmp_path / "a.safetensors"
    out.write_text("precious")
    with pytest.raises(FileExistsError, match=r"`out`: '.*a.safetensors' is there already.*`--overwrite` to replace"):
        main(["export", str(checkpoint), str(out)])
    assert out.read_text() == "precious"
    main(["export", str(checkpoint), str(out), "--overwrite"])
    assert metadata(out)["kind"] == "TextAdapter"
    assert f"used by --model.condition.checkpoint {out}" in capsys.readouterr().out


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, out = write_checkpoint(tmp_path / "a.ckpt"), tmp_path / "a.safetensors"
    out.write_text("precious")
    monkeypatch.setattr(module, "adapter_bytes", lambda *_: "no bytes")  # so that the open file refuses them
    with pytest.raises(TypeError):
        export(str(checkpoint), str(out), overwrite=True)
    assert out.read_text() == "precious"


def test_another_format_and_a_file_without_an_adapter_are_refused(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(
        ValueError, match=r"`out` must end in .safetensors, the one format that is written; got 'a.bin'"
    ):
        export(str(checkpoint), "a.bin")
    with pytest.raises(FileNotFoundError, match=r"`checkpoint` names no file: '.*none.ckpt'"):
        export(str(tmp_path / "none.ckpt"), str(tmp_path / "a.safetensors"))
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "empty.ckpt")
    with pytest.raises(ValueError, match="`checkpoint` holds no adapter"):
        export(str(tmp_path / "empty.ckpt"), str(tmp_path / "a.safetensors"))
    assert not (tmp_path / "a.safetensors").exists()
