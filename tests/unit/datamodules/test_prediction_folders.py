"""Folders that `maskst predict` wrote, and the references of their pictures."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from datamodules.images import read_image
from datamodules.jobs import read_content_images
from datamodules.prediction_folders import Found, read_folders
from datamodules.references import ReferenceSet
from datamodules.shards import ReferenceLookup, open_references, write_shards
from datamodules.style_bench import StyleBench
from tests.unit.datamodules.folders import spoil, write_folder, write_image
from tests.unit.datamodules.predicted import change_line, jobs_of, write_predictions, write_references


@pytest.fixture
def root(tmp_path: Path) -> str:
    return write_references(tmp_path / "object_test").test


@pytest.fixture
def folder(tmp_path: Path, root: str) -> Path:
    return write_predictions(tmp_path / "out", jobs_of(open_references(root).references))


def same_images(references: ReferenceSet, lookup: ReferenceLookup) -> bool:
    """Whether each key leads to the image that the set has under it."""
    found = {r.key: read_image(lookup.find(r.key, r.digest).read()) for r in references.references}
    return bool(found) and all(found[r.key] == references.image(r.index) for r in references.references)


def read(folders: list[Path | str], *roots: Path | str) -> Found:
    return read_folders([str(each) for each in folders], ReferenceLookup([str(root) for root in roots]))


def test_a_prediction_says_what_its_line_says(root: str, folder: Path) -> None:
    found = read([folder], root)
    assert found.failures == {}
    told = [(content, prompt) for content in ("bird", "cat") for prompt in ("A bench", "A rocket")]
    assert [(p.content, p.prompt) for p in found.predictions] == told
    last = found.predictions[-1]
    assert last.path.startswith(str(folder / "cat__lego-toy__a-rocket__masking__seed3063823945__"))
    assert (last.method, last.style, last.sample, last.seed) == ("masking", "lego toy", 0, 3063823945)
    assert (last.share_masked, last.settings) == (0.25, {"name": "masking", "scale": 0.5})
    assert (last.content_prompt, last.content_image, last.content_image_path) == ("A cat", None, None)
    assert last.reference_key == "cat/cat/a-cat-in-lego toy_0"
    assert last.reference_path == f"{root}/{last.reference_key}.png"
    assert set(found.references) == {p.reference_path for p in found.predictions}


def test_the_lines_of_all_ranks_and_folders_are_read_and_those_that_two_runs_wrote_once(
    tmp_path: Path, root: str
) -> None:
    jobs = jobs_of(open_references(root).references)
    folders = [write_predictions(tmp_path / name, jobs, name, ranks=3) for name in ("masking", "ip_adapter")]
    found = read(folders, root)
    assert [p.method for p in found.predictions] == ["masking"] * 4 + ["ip_adapter"] * 4
    assert {(p.method, p.reference_key, p.prompt) for p in found.predictions} == {
        (method, job.reference.key, job.prompt) for method in ("masking", "ip_adapter") for job in jobs
    }
    (folders[0] / "generations-3.jsonl").write_bytes((folders[0] / "generations-0.jsonl").read_bytes())
    assert read(folders, root) == found


def test_references_are_found_in_folders_of_any_suffix_and_in_shards(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "object_test")
    (folder / "cat" / "cat" / "a-cat-in-line art_0.png").rename(folder / "cat" / "cat" / "a-cat-in-line art_0.PNG")
    (folder / "cat" / "cat" / "a-cat-in-line art_0.txt").write_text("no image")
    references = open_references(folder)
    assert len(references) == 12
    assert same_images(references, ReferenceLookup([str(tmp_path), str(folder)]))
    write_shards(references, tmp_path / "shards", shard_size=5)
    assert same_images(references, ReferenceLookup([str(tmp_path / "shards")]))


def test_references_and_content_images_of_style_bench_are_found(tmp_path: Path) -> None:
    for number, name in enumerate(
        ("3D Model 1/0.png", "3D Model 1/0.5.png", "lego_toy/1.jpg", "content/A rocket.png", "content/A_cat.png")
    ):
        path = tmp_path / "bench" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (number, 0, 0)).save(path)
    bench, contents = tmp_path / "bench", tmp_path / "bench" / "content"
    for roots in ([str(bench)], [str(bench), f"{bench}/../bench", str(contents)]):
        assert same_images(StyleBench(str(bench)).test_set, ReferenceLookup(roots))
        assert same_images(read_content_images(contents), ReferenceLookup(roots))


def test_the_content_image_is_named_and_may_be_missing(tmp_path: Path, root: str) -> None:
    references = open_references(root).references
    path = tmp_path / "contents" / "A rocket.png"
    path.parent.mkdir()
    Image.new("RGB", (9, 9)).save(path)
    folder = write_predictions(tmp_path / "out", jobs_of(references, read_content_images(path.parent).references))
    for roots, place in (([root], None), ([root, str(path.parent)], str(path))):
        found = read([folder], *roots)
        assert [(p.prompt, p.content_image, p.content_image_path) for p in found.predictions] == [
            ("A rocket", "content:A rocket", place)
        ] * 2
        assert found.failures == {}


def test_the_content_of_a_reference_decides_and_not_its_name(tmp_path: Path, root: str, folder: Path) -> None:
    bird, cat = (Path(root, name, name, f"a-{name}-in-lego toy_0.png") for name in ("bird", "cat"))
    other = tmp_path / "other"
    shutil.copytree(Path(root, "bird"), other / "bird")  # of two images under one key either will do
    cat.rename(other / "renamed.png")
    write_image(bird, (9, 9, 9))
    write_image(cat, (9, 9, 9))
    found = read([folder], root, other)
    assert {p.reference_path for p in found.predictions} == {f"{other}/bird/bird/{bird.name}", f"{other}/renamed.png"}
    found = read([folder], root)
    assert found.predictions == []
    for path in (bird, cat):
        assert any(f"`{path}` is another image than the" in reason for reason in found.failures.values())
    bird.unlink()
    missing = f"there is no 'bird/bird/a-bird-in-lego toy_0' below `references` ({root})"
    assert list(read([folder], root).failures.values())[:2] == [missing] * 2


def test_pictures_of_faulty_and_cut_off_lines_are_failures(root: str, folder: Path) -> None:
    without_prompt = change_line(folder, 1, prompt=None)
    other_reference = change_line(folder, 2, reference={"name": "cat"})
    last = str(next(folder.glob("cat*rocket*")))
    spoil(folder / "generations-0.jsonl", keep=0.95)
    Image.new("RGB", (4, 4)).save(folder / ".half.png")
    found = read([folder], root)
    assert [p.prompt for p in found.predictions] == ["A bench"]
    expected = "its line is not as `maskst predict` writes it: "
    assert found.failures[without_prompt] == expected + "'prompt'"
    assert found.failures[other_reference].startswith(expected)
    assert found.failures[last] == "no whole line of `generations-*.jsonl` names it: its run was interrupted"
    assert len(found.failures) == 3


def test_missing_folders_and_those_without_predictions_are_named_with_the_way_out(
    tmp_path: Path, root: str, folder: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"`references`: there is no folder `none`\. Give the folders that the"):
        ReferenceLookup([str(tmp_path), "none"])
    with pytest.raises(FileNotFoundError, match=r"`folders`: there is no folder `none`\. .*`maskst predict` wrote"):
        read([folder, "none"])
    write_image(tmp_path / "pictures" / "1.png")
    start = r"`folders`: `.*` holds no predictions: .* `generations-\*\.jsonl` beside them, as `maskst predict` writes"
    with pytest.raises(ValueError, match=rf"{start} them. Pictures of any other origin are scored by a `table`"):
        read([folder, tmp_path / "pictures"], root)
    with pytest.raises(ValueError, match=rf"{start} them. Its folders `out` do: give these\."):
        read([tmp_path], root)


def test_pictures_that_come_twice_are_named(tmp_path: Path, root: str, folder: Path) -> None:
    copied = r"`.*bird.*bench.*` and `.*bird.*bench.*` are the same picture, .* Give each folder once"
    twice = rf"`folders`: ({copied}|`.*bird.*bench.*` is named twice, by two folders or by two lines)"
    copy = shutil.copytree(folder, tmp_path / "copy")
    for folders in ([folder, f"{folder}/../{folder.name}"], [folder, copy]):
        with pytest.raises(ValueError, match=twice):
            read(folders, root)
    change_line(folder, 1, file=Path(change_line(folder, 0)).name)
    with pytest.raises(ValueError, match=twice):
        read([folder], root)


def test_the_same_job_with_other_settings_is_another_picture(tmp_path: Path, root: str, folder: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    for number in range(4):
        change_line(copy, number, settings={"name": "masking", "scale": 0.7})
    found = read([folder, copy], root)
    assert [p.settings["scale"] for p in found.predictions] == [0.5] * 4 + [0.7] * 4


@pytest.mark.parametrize("outside", ["../secret.png", "{root}/secret.png", "/dev/zero", "a\0b"])
def test_lines_and_keys_that_lead_out_are_counted_failures(tmp_path: Path, root: str, outside: str) -> None:
    folder = write_predictions(tmp_path / "out", jobs_of(open_references(root).references))
    write_image(tmp_path / "secret.png")
    name = outside.replace("{root}", str(tmp_path))
    change_line(folder, 0, file=name)
    key = name.removesuffix(".png")
    change_line(folder, 1, reference={"key": key, "content": "cat", "style": "", "digest": "0"})
    found = read([folder], root)
    told = [reason for reason in found.failures.values() if "names nothing below" in reason or "there is no" in reason]
    assert len(told) == 2 and len(found.predictions) == 2


@pytest.mark.parametrize("change", [{"seed": True}, {"sample": 2**63}, {"seed": -1}, {"share_masked": float("nan")}])
def test_numbers_that_no_run_writes_are_counted_failures(root: str, folder: Path, change: dict[str, object]) -> None:
    change_line(folder, 0, **change)
    assert len(read([folder], root).failures) == 1
