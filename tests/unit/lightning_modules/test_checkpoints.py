"""Checkpoints are whole under their name, and a damaged one is told and passed over."""

import errno
import os
from pathlib import Path

import pytest
import torch

from datamodules.files import WriteError
from lightning_modules.checkpoints import WholeCheckpoints, newest_readable

WEIGHTS = torch.arange(64.0)
NAMES = ("step_1.ckpt", "step_2.ckpt", "last.ckpt")
DAMAGES = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "one sign": lambda data: data.replace(WEIGHTS.numpy().tobytes(), WEIGHTS.neg().numpy().tobytes()),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for step, name in enumerate(NAMES):
        WholeCheckpoints().save_checkpoint({"step": step, "state_dict": {"w": WEIGHTS}}, tmp_path / name)
        os.utime(tmp_path / name, (step, step))
    return tmp_path


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.write_bytes(DAMAGES[how](data))
    assert path.read_bytes() != data


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_and_named(folder: Path, how: str) -> None:
    assert newest_readable(folder) == folder / "last.ckpt"
    damage(folder / "last.ckpt", how)
    with pytest.raises(ValueError, match=r"`ckpt_path` cannot be read: '.*last.ckpt' is damaged, .* \(.+\). Give"):
        WholeCheckpoints().load_checkpoint(folder / "last.ckpt")
    with pytest.warns(UserWarning, match=r"^last.ckpt in `.*` cannot be read: the run goes on from step_2.ckpt.$"):
        assert newest_readable(folder) == folder / "step_2.ckpt"
    damage(folder / "step_2.ckpt", how)
    with pytest.warns(UserWarning, match=r"^last.ckpt, step_2.ckpt in .* cannot be read: the run goes on from step_1"):
        assert newest_readable(folder) == folder / "step_1.ckpt"
    damage(folder / "step_1.ckpt", how)
    with pytest.raises(ValueError, match=r"none of the checkpoints in `.*` can be read \(last.ckpt, step_.*Bring one"):
        newest_readable(folder)


def test_there_may_be_none(tmp_path: Path) -> None:
    assert newest_readable(tmp_path / "none") is None


def test_a_full_disk_keeps_the_checkpoint_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("datamodules.files.os.fsync", full)
    with pytest.raises(WriteError, match="cannot write `.*last.ckpt`: No space left on device"):
        WholeCheckpoints().save_checkpoint({"step": 9}, folder / "last.ckpt")
    assert WholeCheckpoints().load_checkpoint(folder / "last.ckpt")["step"] == 2
    assert {path.name for path in folder.iterdir()} == set(NAMES)


def test_weights_that_are_not_finite_are_named_and_passed_over(folder: Path) -> None:
    best = {"callbacks": {"best": torch.tensor(torch.inf)}}
    WholeCheckpoints().save_checkpoint({**best, "state_dict": {"w": WEIGHTS}}, folder / "last.ckpt")
    assert newest_readable(folder) == folder / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"state_dict": {"w": WEIGHTS / 0}}, folder / "last.ckpt")
    with pytest.raises(ValueError, match=r"`ckpt_path` cannot be read: the tensor w in '.*last.ckpt' .* not finite"):
        WholeCheckpoints().load_checkpoint(folder / "last.ckpt")
    with pytest.warns(UserWarning, match=r"the run goes on from step_2.ckpt"):
        assert newest_readable(folder) == folder / "step_2.ckpt"
