"""The datamodule of scoring: what its batches hold, on how many processes, and what it leaves out."""

import json
import warnings
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from datamodules.predictions import Predictions
from tests.unit.datamodules.folders import spoil, write_image
from tests.unit.datamodules.predicted import change_line, jobs_of, write_predictions, write_references


@pytest.fixture
def root(tmp_path: Path) -> str:
    return write_references(tmp_path / "object_test").test


@pytest.fixture
def folder(tmp_path: Path, root: str) -> str:
    references = write_references(tmp_path / "same").test_set.references
    return str(write_predictions(tmp_path / "out", jobs_of(references)))


def on_rank(data: Predictions, rank: int, world_size: int) -> Predictions:
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)  # type: ignore[assignment]
    return data


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_hold_the_pictures_with_their_references(folder: str, root: str, num_workers: int) -> None:
    data = Predictions([folder], root, batch_size=3, num_workers=num_workers)
    data.setup("test")
    batches = list(data.test_dataloader())
    assert [len(batch["predictions"]) for batch in batches] == [3, 1]
    assert [p for batch in batches for p in batch["predictions"]] == data.found.predictions
    assert [image.getpixel((0, 0)) for batch in batches for image in batch["images"]] == [(i, 7, 7) for i in range(4)]
    bird, cat = (f"{root}/{name}/{name}/a-{name}-in-lego toy_0.png" for name in ("bird", "cat"))
    assert [list(batch["references"]) for batch in batches] == [[bird, cat], [cat]]
    for batch in batches:
        for path, image in batch["references"].items():
            assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (4, 6), (int(path == cat), 0, 200))
    assert data.found.failures == {}


def test_a_table_gives_the_same_pictures(tmp_path: Path, folder: str, root: str) -> None:
    expected = Predictions(folder, root)
    columns = ("image", "reference", "prompt", "content", "style", "method", "seed")
    names = ("path", "reference_path", "prompt", "content", "style", "method", "seed")
    rows = [{c: getattr(p, n) for c, n in zip(columns, names, strict=True)} for p in expected.found.predictions]
    (tmp_path / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = Predictions(table=str(tmp_path / "table.jsonl"))
    of_folder, of_table = (next(iter(each.test_dataloader())) for each in (expected, data))
    assert of_table["images"] == of_folder["images"]
    assert of_table["references"] == of_folder["references"]
    told = [
        p._replace(reference_key=p.reference_path[:-4], share_masked=None, settings={})
        for p in expected.found.predictions
    ]
    assert data.found.predictions == told


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_each_picture_is_on_exactly_one_rank(folder: str, root: str, world_size: int) -> None:
    shares = [
        [
            p.path
            for batch in on_rank(Predictions(folder, root, batch_size=2), rank, world_size).test_dataloader()
            for p in batch["predictions"]
        ]
        for rank in range(world_size)
    ]
    assert [path for share in shares for path in share] == [p.path for p in Predictions(folder, root).found.predictions]
    n_batches = [ceil(len(share) / 2) for share in shares]
    assert sum(n_batches) == 2, "whatever the ranks, the same pictures are scored together"
    assert max(n_batches) - min(n_batches) <= 1


@pytest.mark.parametrize("num_workers", [0, 1])
def test_pictures_that_cannot_be_read_are_told_with_their_batch(folder: str, root: str, num_workers: int) -> None:
    data = Predictions(folder, root, batch_size=3, num_workers=num_workers)
    data.setup("test")
    paths = [Path(p.path) for p in data.found.predictions]
    paths[0].unlink()  # after all were found, as it may happen in a long run
    [first, last] = data.test_dataloader()
    assert (first["predictions"], first["positions"]) == (data.found.predictions[1:3], [1, 2])
    assert [image.getpixel((0, 0)) for image in first["images"]] == [(1, 7, 7), (2, 7, 7)]
    assert (first["unread"], last["unread"]) == (data.found.predictions[:1], [])
    paths[1].write_bytes(b"<html>")
    place = spoil(Path(root, "cat", "cat", "a-cat-in-lego toy_0.png"), keep=0)
    first, last = data.test_dataloader()
    what = f"its reference `{place}` cannot be read: the file is empty"
    reasons = ["No such file or directory", "not an image that Pillow can read", what, what]
    failures = dict(zip(map(str, paths), reasons, strict=True))
    assert (first["predictions"], first["images"], len(first["references"])) == ([], [], 1)
    assert (last["predictions"], last["images"], last["references"]) == ([], [], {})
    assert (first["failures"] | last["failures"], list(last["failures"])) == (failures, [str(paths[3])])
    assert first["unread"] + last["unread"] == data.found.predictions, "places in the run stay"


def test_faulty_lines_are_counted_and_reported_once(folder: str, root: str) -> None:
    path = change_line(Path(folder), 1, prompt=None)
    data = Predictions(folder, root)
    with pytest.warns(
        UserWarning, match="1 of 4 pictures cannot be scored and are left out:\n  .*: its line is not as"
    ):
        data.setup("test")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.setup("test")
    assert list(data.found.failures) == [path]
    told = [[batch["failures"] for batch in on_rank(data, rank, 2).test_dataloader()] for rank in range(2)]
    assert told == [[data.found.failures], [{}]]
    assert path not in [p.path for p in data.found.predictions]


def test_sources(folder: str) -> None:
    assert Predictions([f"{folder}/", "./a/../b"], "r").sources == [folder, str(Path.cwd() / "b")]
    assert Predictions(table="a//b.csv").sources == [str(Path.cwd() / "a/b.csv")]


def test_only_the_pictures_that_are_kept_are_scored(folder: str, root: str) -> None:
    every = Predictions(folder, root).found.predictions
    some = on_rank(Predictions(folder, root), 0, 2)
    some.keep_only([every[1].path, "elsewhere.png"])
    assert some.found.predictions == [every[1]]
    [batch] = some.test_dataloader()  # a process without pictures has an empty one
    assert (batch["predictions"], batch["positions"], batch["images"]) == ([], [], [])
    assert (batch["contents"], batch["sources"]) == (["A bird"], [folder])


def test_wrong_references_for_all_pictures_are_an_error_with_the_way_out(folder: str, root: str) -> None:
    text = (
        r"(?s)None of the 4 pictures can be scored:\n  .*: there is no 'bird/.* below `references` \(.*/cat\)\n.*`test`"
    )
    others = write_image(Path(root).parent / "cat" / "other.png", (1, 2, 3)).parent
    with pytest.raises(ValueError, match=text):
        Predictions(folder, str(others)).setup("test")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, r"`folders` was \[\] and `table` was None\. Expected one of the two"),
        ({"folders": "a", "table": "t"}, r"`folders` was \['a'\] and `table` was 't'\. Expected one of the two"),
        ({"folders": ["a"]}, "`folders` needs `references`, which is not given. Give as `references` the folders"),
        ({"folders": "a", "references": []}, "`folders` needs `references`"),
        ({"table": "t.csv", "references": "r"}, r"`references` was \['r'\], but a `table` names .* Leave it out"),
        ({"table": "t.csv", "batch_size": 0}, "`batch_size` is a number from 1 up and was 0"),
        ({"table": "t.csv", "num_workers": -1}, "`num_workers` is a number from 0 up and was -1"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Predictions(**arguments)
