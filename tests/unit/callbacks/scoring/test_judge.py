"""Where judges are found: in a folder, in the hub's cache without a word to the network, or on the hub, fetched."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError

from callbacks.scoring.clip_judge import ClipJudge
from callbacks.scoring.judge import find_folder, identity
from lightning_modules import hub_cache
from tests.hub import COMMIT, FakeHub

NAME = "owner/judge"
NO_NETWORK = HfHubHTTPError.__mro__[1]("Name or service not known")  # as the network library says it


@pytest.fixture
def repository(tiny_judge: Path, tmp_path: Path) -> Path:
    """The tiny judge as people publish them: with a README and the weights in a second format."""
    folder = Path(shutil.copytree(tiny_judge, tmp_path / "repository"))
    (folder / "README.md").touch()
    (folder / "pytorch_model.bin").touch()
    return folder


@pytest.fixture
def fake(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    return FakeHub({NAME: repository}, tmp_path / "cache", monkeypatch)


def refusal(status: int) -> HfHubHTTPError:
    response: Any = SimpleNamespace(status_code=status, headers={}, request=None)
    return HfHubHTTPError("Repository Not Found for url: x", response=response)


def test_fetched_once_and_then_without_the_network(fake: FakeHub, tiny_judge: Path) -> None:
    features = ClipJudge(NAME).text_features(["A dog"])
    assert {"config.json", "model.safetensors", "vocab.json"} <= set(fake.fetched)
    assert not {"README.md", "pytorch_model.bin"} & set(fake.fetched)
    hub_cache.list_repository.cache_clear()
    fake.failure = AssertionError("the hub was asked")
    assert (ClipJudge(NAME).text_features(["A dog"]) == features).all()
    assert (ClipJudge(str(tiny_judge)).text_features(["A dog"]) == features).all()


@pytest.mark.parametrize("lost", ["model.safetensors", "preprocessor_config.json", "vocab.json"])
def test_a_cache_that_lacks_a_file_is_filled(fake: FakeHub, lost: str) -> None:
    folder = find_folder(NAME, None)
    (folder / lost).unlink()
    assert (find_folder(NAME, None) / lost).exists()


def test_a_style_judge_needs_no_tokenizer(fake: FakeHub) -> None:
    folder = find_folder(NAME, None)
    fake.failure = NO_NETWORK
    (folder / "vocab.json").unlink()
    assert find_folder(NAME, None, with_texts=False) == folder
    with pytest.raises(ConnectionError):
        find_folder(NAME, None)


def test_shards_of_weights(fake: FakeHub, repository: Path) -> None:
    (repository / "model.safetensors").unlink()
    shards = {f"model-0000{n}-of-00002.safetensors" for n in (1, 2)} | {"model.safetensors.index.json"}
    for name in shards:
        (repository / name).touch()
    folder = find_folder(NAME, None)
    assert shards <= set(fake.fetched)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert (find_folder(NAME, None) / "model-00002-of-00002.safetensors").exists()


def test_unreachable_and_refused(fake: FakeHub) -> None:
    for failure in (NO_NETWORK, refusal(503)):
        fake.failure = failure
        with pytest.raises(ConnectionError, match="no folder and not whole in the hub's cache.*cannot be reached"):
            find_folder(NAME, None)
    with pytest.raises(ConnectionError, match=r"`owner/judge` is no folder .*or give a folder"):
        ClipJudge(NAME).text_features(["A dog"])
    for status in (401, 403, 404):
        fake.failure = refusal(status)
        with pytest.raises(FileNotFoundError, match=r"at revision `abc` is neither a folder nor on .*hf auth login"):
            find_folder(NAME, "abc")
    for name in ("nowhere", "no/such/folder", "/no/folder"):
        with pytest.raises(FileNotFoundError, match=rf"no folder `{name}`, and it is no hub name `owner/name`"):
            find_folder(name, None)


def test_full_disk(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, local_files_only: bool = False, **options: Any) -> str:
        if local_files_only:
            return fake.snapshot_download(*args, **options, local_files_only=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(OSError, match=r"cannot be kept in the hub's cache .*No space left on device.*HF_HOME"):
        find_folder(NAME, None)


def test_identities(fake: FakeHub, tiny_judge: Path, tmp_path: Path) -> None:
    assert identity(NAME, find_folder(NAME, None)) == f"{NAME}@{COMMIT}"
    copy = Path(shutil.copytree(tiny_judge, tmp_path / "a" / tiny_judge.name))
    assert identity(str(copy), copy) == identity(str(tiny_judge), tiny_judge)
    (copy / "notes.txt").touch()
    assert identity(str(copy), copy) == identity(str(tiny_judge), tiny_judge)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert identity(str(copy), copy) != identity(str(tiny_judge), tiny_judge)
