"""What the studio draws: the pictures of `maskst transfer`, as they come, until they are stopped."""

import io
import json
import shlex
import zipfile
from pathlib import Path
from threading import Event, Thread

import pytest

from datamodules.images import read_image
from lightning_modules.diffusion.config import SamplingSettings
from scripts.cli import main
from scripts.studio.desk import Desk, Upload, received
from scripts.studio.gallery import Gallery
from scripts.studio.request import Request, asked
from scripts.studio.session import Studio
from tests.hostile import readable

METHODS = ["masking", "instantstyle"]


def drawn(studio: Studio, request: Request) -> Gallery:
    """The finished gallery of a request."""
    *_, gallery = studio.draw(request)
    return gallery


def test_all_is_as_transfer_draws_it(studio: Studio, cat: Upload, ship: Upload, tmp_path: Path) -> None:
    request = Request(
        [cat, ship], ["cat", "ship"], ["A rocket", "A bench"], METHODS, samples=2, seed=7, strength=0.5,
        sampling=(("scale", 0.75), ("target_blocks", "style")),
    )  # fmt: skip
    gallery = drawn(studio, request)
    with zipfile.ZipFile(io.BytesIO(gallery.zipped())) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    for upload in (cat, ship):
        (tmp_path / upload.name).write_bytes(upload.data)
    command = shlex.split(gallery.command)
    assert command[:4] == ["maskst", "transfer", "cat.png", "ship.png"]
    told = [str(tmp_path / each) if each in ("cat.png", "ship.png") else each for each in command[1:]]
    steps = ["--model.sampling.steps", "2", "--trainer.accelerator", "cpu"]
    main([*told, "--output", str(tmp_path / "out"), *steps])
    for method in METHODS:
        [folder] = (tmp_path / "out").glob(f"{method}_*")
        ours = {name.removeprefix(f"{method}/"): data for name, data in found.items() if name.startswith(f"{method}/")}
        assert {name: data for name, data in ours.items() if name.endswith(".png")} == {
            path.name: path.read_bytes() for path in folder.glob("*.png")
        }
        assert len(ours) == 8 + 2
        lines, others = (
            [json.loads(line) for line in sorted(text.splitlines())]
            for text in (ours["generations-0.jsonl"].decode(), (folder / "generations-0.jsonl").read_text())
        )
        assert lines == others
        assert json.loads(ours["settings.json"]) == json.loads((folder / "settings.json").read_text())


def test_pictures_come_while_others_are_drawn(studio: Studio, cat: Upload) -> None:
    request = Request([cat], ["cat"], ["A rocket", "A bench"], METHODS)
    seen = [(gallery.done, len(gallery.pictures), gallery.over) for gallery in studio.draw(request)]
    assert seen == sorted(seen) and seen[-1] == (4, 4, True)
    assert {0, 2, 4} == {pictures for _, pictures, _ in seen}
    assert len(seen) == 2 + 2 * 2 + 1  # each batch begins, and has two steps


def test_each_picture_has_scores_share_and_place(studio: Studio, cat: Upload) -> None:
    gallery = drawn(studio, Request([cat], ["cat"], ["A rocket"], ["ip_adapter", "masking"]))
    assert gallery.methods == ["masking", "ip_adapter"]  # in the order of the methods
    plain, masked = gallery.pictures[0, "ip_adapter"], gallery.pictures[0, "masking"]
    assert plain.share_masked is None and 0 < (masked.share_masked or 0) < 0.5
    assert {"alignment/text", "alignment/image", "alignment/content", "leakage/leaked"} <= set(masked.scores)
    assert plain.scores["alignment/text"] != masked.scores["alignment/text"]
    [mask] = gallery.masks
    assert mask.word == "cat" and "of 256 elements are dropped" in mask.told
    assert b"<svg" in mask.figure
    assert drawn(studio, Request([cat], ["cat"], ["A rocket"], ["ip_adapter"])).masks == []


def test_words_that_are_found_are_those_of_transfer(studio: Studio, cat: Upload, tmp_path: Path) -> None:
    found = studio.find(cat)
    assert found is not None and found.word == "cat" and found.margin > 0
    gallery = drawn(studio, Request([cat], [""], ["A rocket"], ["masking"]))
    [picture], [mask] = gallery.pictures.values(), gallery.masks
    assert (picture.job.reference.word, mask.word) == ("cat", "cat")
    assert picture.line["found"]["second"] == found.second
    (tmp_path / "cat.png").write_bytes(cat.data)
    _, name, *told = shlex.split(gallery.command)[1:]
    steps = ["--model.sampling.steps", "2", "--trainer.accelerator", "cpu"]
    main(["transfer", str(tmp_path / name), *told, "--output", str(tmp_path / "out"), *steps])
    [line] = (tmp_path / "out" / "masking" / "generations-0.jsonl").read_text().splitlines()
    assert json.loads(line) == json.loads(json.dumps({"file": picture.file, **picture.line}))
    assert (tmp_path / "out" / "masking" / picture.file).read_bytes() == picture.png


def test_a_word_that_is_corrected_is_given_beside_those_that_were_found(cat: Upload, ship: Upload) -> None:
    desk = Desk(references=[cat, ship], found={cat.digest: "cat", ship.digest: "ship"})
    rest = ("A rocket", ["masking"], 1, 42, 2, 4.0, 1.0, 1.0, "all")
    for words, given in ((("cat", "ship"), ["", ""]), (("", "ship"), ["", ""]), (("", "boat"), ["cat", "boat"])):
        assert asked(desk, SamplingSettings(steps=2, guidance_scale=4.0), *rest, *words).words == given


class _After(Event):
    """Set from the moment on when it has been asked so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def is_set(self) -> bool:
        self.times -= 1
        return self.times < 0


def test_stopped_within_a_step_it_keeps_what_is_finished(studio: Studio, cat: Upload) -> None:
    request = Request([cat], ["cat"], ["A rocket"], METHODS)
    *_, gallery = studio.draw(request, _After(4))  # the beginning and two steps, the beginning of the next: a step
    assert (gallery.done, list(gallery.pictures)) == (1.5, [(0, "masking")])
    assert (gallery.stopped, gallery.over, gallery.masks) == (True, True, [])
    assert [name for name in zipfile.ZipFile(io.BytesIO(gallery.zipped())).namelist() if ".png" in name]
    assert not drawn(studio, request).stopped  # nothing is left of it


def test_stopped_before_its_turn_nothing_is_drawn(studio: Studio, cat: Upload) -> None:
    stop = Event()
    stop.set()
    *_, gallery = studio.draw(Request([cat], ["cat"], ["A rocket"], METHODS), stop)
    assert (gallery.stopped, gallery.done, gallery.pictures) == (True, 0, {})


def test_who_looks_away_ends_the_drawing(studio: Studio, cat: Upload) -> None:
    drawing = studio.draw(Request([cat], ["cat"], ["A rocket"], METHODS))
    gallery = next(drawing)
    drawing.close()  # type: ignore[attr-defined]
    assert gallery.stopped and studio.model.generator.progress is None


def test_requests_at_once_are_drawn_one_after_another(studio: Studio, cat: Upload, ship: Upload) -> None:
    asked_for = [
        Request([upload], [upload.name[:-4]], [prompt], ["masking"], seed=seed)
        for upload in (cat, ship)
        for seed, prompt in enumerate(("A rocket", "A bench"))
    ]
    alone = [drawn(studio, request).pictures[0, "masking"] for request in asked_for]
    found: dict[int, Gallery] = {}

    def draw(place: int) -> None:
        found[place] = drawn(studio, asked_for[place])

    threads = [Thread(target=draw, args=(place,)) for place in range(len(asked_for))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[place].pictures[0, "masking"].png for place in range(4)] == [picture.png for picture in alone]
    assert len({picture.png for picture in alone}) == 4


def test_pictures_of_unusual_kinds_are_drawn_from(studio: Studio) -> None:
    uploads = [received(name, data) for name, data in list(readable().items())[:4]]
    gallery = drawn(studio, Request(uploads, ["dog"] * 4, ["A rocket"], ["masking"]))
    assert len(gallery.pictures) == 4 and not gallery.failures
    assert all(read_image(picture.png).size == (64, 64) for picture in gallery.pictures.values())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"samples": 201}, "201 pictures were asked for: the studio draws 200 at a time"),
        ({"samples": 0}, "`samples_per_prompt` is a number from 1 up and was 0"),
        ({"seed": -1}, "`seed` is a number from 0"),
        ({"methods": ["styleshot"]}, "styleshot needs a backbone that has StyleShot's encoder"),
        ({"sampling": (("steps", 0),)}, "`steps` must be at least 1"),
        ({"sampling": (("target_blocks", "none"),)}, "target_blocks"),
        ({"sampling": (("scale", float("nan")),)}, "scale"),
        ({"layouts": "cat"}, "`content_maps` are read by StyleShot's content-fusion ControlNet"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_the_next_is_drawn(
    studio: Studio, cat: Upload, change: dict[str, object], reason: str
) -> None:
    change = {"layouts": [cat]} if change == {"layouts": "cat"} else change
    told = {"references": [cat], "words": ["cat"], "prompts": ["A rocket"], "methods": ["masking"]} | change
    with pytest.raises(ValueError, match=reason) as caught:
        drawn(studio, Request(**told))  # type: ignore[arg-type]
    assert "/tmp" not in str(caught.value)
    assert len(drawn(studio, Request([cat], ["cat"], ["A rocket"], ["masking"])).pictures) == 1


def test_what_a_page_leaves_as_it_is_is_not_asked_for(studio: Studio, cat: Upload) -> None:
    desk, sampling = Desk(references=[cat]), studio.sampling
    words = ["cat"] + [""] * 7
    request = asked(
        desk, sampling, " A rocket \n\nA bench\nA rocket", ["masking"], 1, 42, 2, 4.0, 1.0, 1.0, "all", *words
    )
    assert (request.prompts, request.words) == (["A rocket", "A bench"], ["cat"])
    assert (request.sampling, request.strength) == ((), None)
    shown = "maskst transfer cat.png --prompt 'A rocket' --prompt 'A bench' --content cat --method masking"
    assert request.command() == f"{shown} --samples 1 --seed 42"
    other = asked(desk, sampling, "A 'big' $HOME", METHODS, 3, 1, 9, 2.5, 0.5, 0.25, "style", *words)
    assert shlex.split(other.command(["--config", "my file.yaml"])) == [
        *("maskst", "transfer", "cat.png", "--prompt", "A 'big' $HOME", "--content", "cat"),
        *("--method", "masking", "--method", "instantstyle"),
        *("--samples", "3", "--seed", "1", "--strength", "0.25", "--model.sampling.steps", "9"),
        *("--model.sampling.guidance_scale", "2.5", "--scale", "0.5", "--model.sampling.target_blocks", "style"),
        *("--config", "my file.yaml"),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"references": []}, "There is no picture yet"),
        ({"prompts": " \n "}, "There is no prompt"),
        ({"methods": []}, "No method is chosen"),
        ({"samples": None}, "“Samples” is a whole number and was None"),
        ({"seed": 1.5}, "“Seed” is a whole number and was 1.5"),
    ],
)
def test_what_a_page_lacks_is_said(studio: Studio, cat: Upload, change: dict[str, object], reason: str) -> None:
    told = {"references": [cat], "prompts": "A rocket", "methods": ["masking"], "samples": 1, "seed": 42} | change
    desk = Desk(references=told.pop("references"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=reason):
        asked(desk, studio.sampling, *told.values(), 2, 4.0, 1.0, 1.0, "all", "cat")  # type: ignore[arg-type]
