"""`maskst weights`: the files of each backbone, on disk, on a hub of local folders, and without a network."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub.errors import OfflineModeIsEnabled

from lightning_modules import hub_cache as hub
from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from scripts.backbone_files import File, needed, needs_of, read_backbone, shipped_backbones, take_inventories
from scripts.cli import main
from scripts.weights import as_bytes, totals, weights
from tests.hub import FakeHub

TINY, JUDGE = "owner/tiny", "owner/judge"


@pytest.fixture
def fake(tiny_backbone: Backbone, tiny_judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub with the tiny backbone and judge, and an empty cache."""
    monkeypatch.setenv("COLUMNS", "200")
    repositories = {TINY: Path(tiny_backbone.model), JUDGE: tiny_judge}
    return FakeHub(repositories, tmp_path / "cache", monkeypatch)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A backbone's config with the names of that hub."""
    path = tmp_path / "tiny.yaml"
    judge = {"init_args": {"model": JUDGE}}
    content = {"model": {"init_args": {"backbone": {"model": TINY}}}, "scores": {"judge": judge}}
    path.write_text(yaml.safe_dump(content))
    return str(path)


def files_of(backbone: Backbone, **judge: str) -> list[File]:
    needs = needs_of(backbone, judge)
    return needed(needs, take_inventories(needs))


def test_the_files_of_a_local_folder_are_those_that_loading_opens(tiny_backbone: Backbone) -> None:
    folder, files = Path(tiny_backbone.model), files_of(tiny_backbone)
    assert all(file.here and file.size == (folder / file.name).stat().st_size for file in files)
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert on_disk - {file.name for file in files} == {"ip_adapter.bin"}
    assert len(files) == len({file.name for file in files})


def test_of_a_model_in_one_file_the_folder_gives_settings_alone(tiny_backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / "whole.safetensors").write_bytes(b"12345")
    single = replace(tiny_backbone, model=str(tmp_path / "whole.safetensors"), model_config=tiny_backbone.model)
    missing = {file.name for file in files_of(tiny_backbone)} - {file.name for file in files_of(single)}
    assert missing == {
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    }
    assert [file.size for file in files_of(single) if file.need.argument == "model"] == [5]


def test_a_copy_of_these_files_alone_loads(tiny_backbone: Backbone, tmp_path: Path) -> None:
    for file in files_of(tiny_backbone):
        (tmp_path / file.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(tiny_backbone.model) / file.name, tmp_path / file.name)
    StableDiffusion.load(Backbone(str(tmp_path)))


def test_what_a_local_folder_lacks_is_named(tiny_backbone: Backbone, tmp_path: Path) -> None:
    shutil.copytree(tiny_backbone.model, tmp_path, dirs_exist_ok=True)
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    shutil.rmtree(tmp_path / "vae")
    lacking = [file.name for file in files_of(Backbone(str(tmp_path))) if not file.here]
    weights_file = "diffusion_pytorch_model.safetensors"
    assert lacking == [f"unet/{weights_file}", "vae/config.json", f"vae/{weights_file}"]
    given = [file.name for file in files_of(Backbone(str(tmp_path), vae=f"{tiny_backbone.model}/vae"))]
    assert given[-2:] == ["config.json", weights_file]
    assert "vae/config.json" not in given


def test_files_and_towers_of_their_own(tiny_backbone: Backbone, tiny_judge: Path) -> None:
    adapter = f"{tiny_backbone.model}/ip_adapter.bin"
    files = files_of(Backbone(tiny_backbone.model, str(tiny_judge), str(tiny_judge), adapter))
    assert (files[-1].name, files[-1].size, files[-1].here) == ("", Path(adapter).stat().st_size, True)
    towers = {file.name for file in files if file.need.argument == "text_tower"}
    assert towers == {path.name for path in tiny_judge.iterdir()}


def test_fetch_brings_what_is_missing_and_nothing_else(
    fake: FakeHub, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["weights", config])
    said = capsys.readouterr().out
    files = files_of(Backbone(TINY), model=JUDGE)
    total = as_bytes(sum(file.size or 0 for file in files))
    assert f"{len(files)} files, {total}; missing {len(files)} files, {total}" in said
    assert f"--fetch` fetches what is missing into {fake.cache}; a local folder" in said
    assert fake.fetched == []
    main(["weights", config, "--fetch"])
    said = capsys.readouterr().out
    assert f"{len(files)} files, {total}; missing 0 files, 0 B" in said
    assert "All of it is here." in said
    assert "no │" not in said
    assert sorted(fake.fetched) == sorted(file.name for file in files)
    StableDiffusion.load(Backbone(TINY))
    assert len(fake.fetched) == len(files)


def test_without_a_network_it_says_what_to_fetch_elsewhere(
    fake: FakeHub, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.failure = OfflineModeIsEnabled("offline")
    weights(config)
    said = capsys.readouterr().out
    assert "unet/diffusion_pytorch_model.safetensors" in said
    assert "text_encoder_2" not in said
    assert "unknown" in said
    assert f"The hub cannot be reached: run `maskst weights {config} --fetch` on a machine where it can" in said
    assert f"copy its cache to {fake.cache} here; a local folder" in said
    with pytest.raises(ConnectionError, match="`model`: 'owner/tiny' is no local path, and the hub cannot be reached"):
        weights(config, fetch=True)


def test_a_filled_cache_needs_no_network(fake: FakeHub, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    weights(config, fetch=True)
    hub.list_repository.cache_clear()
    fake.failure = OfflineModeIsEnabled("offline")
    capsys.readouterr()
    weights(config, fetch=True)
    assert "All of it is here." in capsys.readouterr().out


@pytest.mark.parametrize(("name", "is_xl"), [("owner/sdxl-base", True), ("owner/sd15", False)])
def test_the_files_of_sdxl(fake: FakeHub, name: str, is_xl: bool) -> None:
    fake.failure = OfflineModeIsEnabled("offline")
    names = [file.name for file in files_of(Backbone(name, variant="fp16"))]
    assert ("text_encoder_2/model.fp16.safetensors" in names) == ("tokenizer_2/vocab.json" in names) == is_xl
    assert ("text_tower/model.safetensors" in names) == (not is_xl)
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in names
    assert "image_encoder/model.safetensors" in names
    assert not any("safety_checker" in name for name in names)


def test_sdxl_is_told_by_its_files_where_these_are_known(
    fake: FakeHub, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_backbone.model, tmp_path / "other")
    shutil.copytree(folder / "text_encoder", folder / "text_encoder_2")
    shutil.rmtree(folder / "text_tower")
    fake.repositories["owner/other"] = folder
    by_name = {file.name: file.size for file in files_of(Backbone("owner/other"))}
    assert by_name["text_encoder_2/model.safetensors"] == by_name["text_encoder/model.safetensors"]
    assert not any(name.startswith("text_tower") for name in by_name)
    assert "tokenizer_2/vocab.json" in by_name  # which is missing


def test_the_shipped_backbones_are_all_read() -> None:
    real = ["sd15", "sdxl", "sdxl_vit_h", "styleshot", "styleshot_lineart"]
    assert [name for name in shipped_backbones() if not name.startswith("miniature")] == real
    for name in shipped_backbones():
        backbone, judge = read_backbone(name)
        assert judge["model"]
        assert needs_of(backbone, judge)[0].top.local == (name not in real)


@pytest.mark.parametrize(("name", "lines"), [("StyleShot", "ControlNetHED.pth"), ("StyleShot_lineart", "sk_model.pth")])
def test_styleshot_has_two_files_and_no_image_encoder(name: str, lines: str) -> None:
    needs = needs_of(*read_backbone(name.lower()))
    folder = "pretrained_weight"
    files = [(need.argument, need.top.place, need.inside) for need in needs if need.top.repository.startswith("Gao")]
    assert files == [
        ("style_encoder", f"Gaojunyao/{name}", f"{folder}/style_aware_encoder.bin"),
        ("ip_adapter", f"Gaojunyao/{name}", f"{folder}/ip.bin"),
    ]
    assert "image_encoder" not in {need.argument for need in needs}
    annotators = [need.inside for need in needs if need.top.repository == "lllyasviel/Annotators"]
    assert annotators == [lines]


def test_styleshot_in_local_files(tiny_backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / "style.bin").write_bytes(b"123")
    files = files_of(Backbone(tiny_backbone.model, style_encoder=str(tmp_path / "style.bin")))
    assert [(file.size, file.here) for file in files if file.need.argument == "style_encoder"] == [(3, True)]
    assert [(file.name, file.here) for file in files if file.need.argument == "ip_adapter"] == [("ip.bin", False)]


def test_a_config_that_names_no_backbone(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"`backbone`: there is no 'no.yaml'. Give a YAML file, or one of minia"
    ):
        read_backbone("no.yaml")
    for content, got in (("data: 3\n", "none"), ("model: {init_args: {backbone: {modle: x}}}\n", "modle")):
        (tmp_path / "a.yaml").write_text(content)
        with pytest.raises(ValueError, match=rf"`backbone`: '.*a.yaml' must have arguments of Backbone.*got {got}\."):
            read_backbone(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "unknown"), (7, "7 B"), (1500, "1.5 kB"), (1_719_125_304, "1.72 GB"), (44_642_768, "44.6 MB")],
)
def test_sizes_to_read(size: int | None, text: str) -> None:
    assert as_bytes(size) == text


def test_totals_tell_known_and_unknown_bytes_apart(tiny_backbone: Backbone) -> None:
    [need, *_] = needs_of(tiny_backbone, {})
    files = [File(need, "a", 1000, True), File(need, "b", None, False), File(need, "a", 1000, True)]
    assert totals(files) == "2 files, 1 kB, bytes of 1 unknown; missing 1 files, bytes of 1 unknown"
