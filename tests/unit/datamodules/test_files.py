"""Files and folders are whole under their name; what killed processes left goes, what others write stays."""

import errno
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules import files
from datamodules.files import (
    FolderInUseError,
    FolderLock,
    WriteError,
    cannot_write,
    replacing,
    replacing_folder,
    write_text,
)
from tests.processes import beside, die, forked


@pytest.fixture(autouse=True)
def _new_process() -> None:
    files._tidy.cache_clear()


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    def write_half() -> None:
        with replacing(tmp_path / "a.json") as file:
            file.write(b"half")
            file.flush()
            die()

    write_text(tmp_path / "a.json", "old")
    assert forked(write_half) == -9
    assert len(list(tmp_path.iterdir())) == 2 and (tmp_path / "a.json").read_text() == "old"
    files._tidy.cache_clear()
    write_text(tmp_path / "other.json", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "other.json"}


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    def write(reached: Callable[[], None]) -> None:
        with replacing(tmp_path / "a.json"):
            reached()

    with beside(write):
        write_text(tmp_path / "other.json", "new")
        assert len(list(tmp_path.iterdir())) == 2
    files._tidy.cache_clear()
    write_text(tmp_path / "other.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_the_error_of_a_full_disk_is_one_sentence_that_names_the_first_file(tmp_path: Path) -> None:
    error = cannot_write(tmp_path / "a.png", OSError(errno.ENOSPC, "No space left on device"))
    assert str(error).startswith(f"cannot write `{tmp_path}/a.png`: No space left on device. Free some space or choose")
    assert cannot_write(tmp_path, error) is error
    again = pickle.loads(pickle.dumps(error))  # between ranks
    assert isinstance(again, WriteError) and str(again) == str(error) and again.errno == errno.ENOSPC


def test_another_process_in_the_folder_is_named_and_a_dead_one_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold(reached: Callable[[], None]) -> None:
        held = FolderLock(tmp_path, "folder")
        held.take()
        reached()

    lock = FolderLock(tmp_path, "folder")
    with beside(hold) as other:
        monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited for a process that goes on"))
        with pytest.raises(FolderInUseError) as caught:
            lock.take()
        monkeypatch.undo()
        said = f"`folder`: `{tmp_path}` is being written by process {other} on {socket.gethostname()} since 2"
        assert str(caught.value).startswith(said)
    assert (tmp_path / ".lock").exists()  # as the kill left it
    lock.take()
    lock.take()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_outlives_its_killed_parent_does_not_keep_the_folder(tmp_path: Path) -> None:
    def hold_and_fork() -> None:
        held = FolderLock(tmp_path / "out", "folder")
        held.take()
        worker = os.fork()
        if worker == 0:
            signal.pause()
        (tmp_path / "worker").write_text(str(worker))
        die()

    assert forked(hold_and_fork) == -9
    try:
        FolderLock(tmp_path / "out", "folder").take()
    finally:
        os.kill(int((tmp_path / "worker").read_text()), signal.SIGKILL)


def test_what_a_killed_process_started_with_its_lock_is_waited_for(tmp_path: Path) -> None:
    def hold_and_start() -> None:
        lock = FolderLock(tmp_path, "folder")
        lock.take()
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"], pass_fds=[lock._file.fileno()])
        die()

    assert forked(hold_and_start) == -9
    FolderLock(tmp_path, "folder").take()  # else an error that names a process which is gone


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot write `.*file/out/.lock`: Not a directory. Free some space or choose"):
        FolderLock(tmp_path / "file" / "out", "folder").take()


def replace(target: Path, content: str, then: Callable[[], None] = lambda: None) -> None:
    with replacing_folder(target, "target") as staging:
        staging.mkdir()
        (staging / "content").write_text(content)
        then()


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize(
    "name, calls", [("_recover", 1), ("_put", 1), ("Path.rename", 1), ("Path.rename", 2), ("shutil.rmtree", 1)]
)
@pytest.mark.parametrize("is_after", [False, True])
def test_a_kill_at_any_point_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool, name: str, calls: int, is_after: bool
) -> None:
    """The process dies before or after a call of what `replacing_folder` does in turn."""
    target, left = tmp_path / "set", calls
    replace(target, "old")
    if not can_exchange:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    with monkeypatch.context() as patched:
        owner, _, attribute = f"datamodules.files.{name}".rpartition(".")
        holder = {"Path": Path, "shutil": files.shutil}.get(owner.rpartition(".")[2], files)
        whole = getattr(holder, attribute)

        def dying(*args: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0 and not is_after:
                die()
            result = whole(*args, **options)
            if left == 0:
                die()
            return result

        patched.setattr(holder, attribute, dying)
        ended = forked(lambda: replace(target, "new"))
    assert ended == -9 or (can_exchange and name == "Path.rename" and ended == 0)  # which then renames nothing
    between = not can_exchange and name == "Path.rename" and (calls, is_after) in [(1, True), (2, False)]
    assert between or (target / "content").read_text() in ("old", "new")
    with replacing_folder(target, "target"):
        assert (target / "content").read_text() in ("old", "new")  # back by now
    replace(target, "newest")
    assert (target / "content").read_text() == "newest"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_left_overs_of_earlier_versions_go_and_those_of_other_folders_stay(tmp_path: Path) -> None:
    for name in (".set.partial-12", ".set.old-13", ".set.older.partial", ".sets.partial-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    replace(tmp_path / "set", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"set", ".set.older.partial", ".sets.partial-1"}


def test_a_full_disk_is_one_sentence_and_errors_of_reading_are_not_of_it(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(WriteError, match="cannot write `.*set`: No space left on device. Free"):
        replace(tmp_path / "set", "new", full)
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "set", "new", lambda: open(tmp_path / "none").close())
    assert list(tmp_path.iterdir()) == []
