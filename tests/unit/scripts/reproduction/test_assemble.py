"""Which pictures panel (b) shows, and how settings are put in words."""

from pathlib import Path

import pytest
from PIL import Image

from scripts.reproduction.assemble import choose_reference, command, component, read_strip, sorted_grids
from tests.unit.scripts.reproduction.synthetic import STEPS, evaluated, published_results


def write_pictures(runs: dict[str, Path], index: int) -> None:
    for method in ("image_adapter", "text_adapter"):
        for step in STEPS:
            folder = runs[method] / "pictures" / f"step_{step:06d}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (step // 20, 0, 0)).save(folder / f"{index}_a-bench.png")
    (runs["ip_adapter"] / "pictures").mkdir(exist_ok=True)
    Image.new("L", (4, 4), 9).save(runs["ip_adapter"] / "pictures" / f"{index}.png")


def test_the_reference_is_chosen_by_ip_adapters_leak_alone(tmp_path: Path) -> None:
    results = published_results(tmp_path)
    ip_adapter = evaluated("ip_adapter", 0, leaked=[0.2, 0.6, 0.6, 0.8])  # of the references 0, 2, 4, 6
    results = results._replace(tuning_free={**results.tuning_free, "ip_adapter": ip_adapter})
    runs = {method: tmp_path / method for method in ("ip_adapter", "image_adapter", "text_adapter")}
    for index in (4, 2, 0):
        write_pictures(runs, index)
    index, words = choose_reference(results, runs, "A bench")
    assert index == 2
    assert "Of the 3 references" in words
    assert "60.0 % of its pictures" in words
    strip = read_strip(results, runs, index, "A bench")
    assert strip.reference.getpixel((0, 0)) == (9, 9, 9)
    assert [(step, picture.getpixel((0, 0))) for step, picture in strip.results["text_adapter"]] == [
        (step, (step // 20, 0, 0)) for step in STEPS
    ]


def test_a_missing_picture_names_the_way_out(tmp_path: Path) -> None:
    results = published_results(tmp_path)
    runs = {method: tmp_path / method for method in ("ip_adapter", "image_adapter", "text_adapter")}
    write_pictures(runs, 2)
    (runs["image_adapter"] / "pictures" / "step_000800" / "2_a-bench.png").unlink()
    with pytest.raises(ValueError, match="step_000800` lacks the picture of reference 2: remove the folder"):
        read_strip(results, runs, 2, "A bench")


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        (
            "lightning_modules.objectives.PublishedObjective",
            {"weight": 10.0},
            "the published objective PublishedObjective, unbounded below (weight 10.0)",
        ),
        ("BoundedContrast", None, "this project's BoundedContrast, not the published objective"),
        ("torch.optim.AdamW", {"lr": 0.1, "weight_decay": 0.0}, "AdamW (lr 0.1, weight decay 0.0)"),
    ],
)
def test_components_in_words(name: str, arguments: dict[str, float] | None, words: str) -> None:
    assert component({"class_path": name, "init_args": arguments}) == words


def test_grids_come_in_the_order_of_their_steps(tmp_path: Path) -> None:
    (tmp_path / "grids").mkdir()
    for step in (2400, 0, 400):
        (tmp_path / "grids" / f"step_{step:06d}.png").touch()
    assert [step for step, _ in sorted_grids(tmp_path)] == [0, 400, 2400]


def test_commands_can_be_pasted() -> None:
    assert command(["validate", "--data.prompts=[A rocket]"]) == "maskst validate '--data.prompts=[A rocket]'"
