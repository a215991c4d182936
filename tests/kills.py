"""Kills runs at random moments, starts them again, and compares what they leave with that of undisturbed runs.

    python -m tests.kills --kills 100 --seed 0

Each run is forked from this process, which has imported everything: nearly all of its time is work that can be hit.
"""

import argparse
import filecmp
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import torch

import scripts.commands
import scripts.sweep  # noqa: F401
from scripts import cli, pack_shards

_DATA = ["--data.train_per_style=1", "--data.test_per_style=1", "--data.batch_size=2", "--data.prompts=[A rocket]"]
_TINY = [*_DATA, "--model.sampling.steps=1", "--trainer.accelerator=cpu"]
_DRAWN = ["--data.predict_references=4"]
_FITTED = ["--data.evaluation_references=1", "--trainer.max_steps=3", "--trainer.val_check_interval=1"]
_SWEEP = '--sweep=[{"condition": "IPAdapter", "sampling": {"scale": [1.0, 0.5]}}, {"condition": "Masking"}]'
_MASKING = "--config=configs/predict/masking.yaml"
_FIT = "--config=configs/fit/image_adapter.yaml"


def commands(root: Path) -> dict[str, tuple[Callable[[list[str]], object], list[str]]]:
    """What is run, in an order in which each finds what it reads."""
    data, features = f"--data.root={root}/predict/data", f"--scoring.cache={root}/features"
    shards = [f"{root}/predict/data/object", f"{root}/pack/shards", "--shard-size=9", "--overwrite"]
    folder = "--trainer.default_root_dir="
    test = [f"--data.folders={root}/predict/pictures", f"--data.references={root}/predict/data/object_test"]
    return {
        "predict": (cli.main, ["predict", _MASKING, data, *_TINY, *_DRAWN, f"{folder}{root}/predict/pictures"]),
        "fit": (cli.main, ["fit", _FIT, data, *_TINY, *_FITTED, f"{folder}{root}/fit/run", "--ckpt_path=last"]),
        "sweep": (cli.main, ["sweep", data, *_TINY, *_DRAWN, _SWEEP, features, f"{folder}{root}/sweep/run"]),
        "test": (cli.main, ["test", *test, features, f"--scoring.folder={root}/test/scores"]),
        "pack": (pack_shards.main, shards),
    }


def start(run: tuple[Callable[[list[str]], object], list[str]], log: Path) -> int:
    """The number of a process that runs a command."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        run[0](run[1])
        code = 0
    finally:
        if code:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        sys.stdout.flush()
        os._exit(code)


def finish(run: tuple[Callable[[list[str]], object], list[str]], log: Path) -> float:
    """Run a command to its end; its seconds."""
    begun = time.monotonic()
    _, status = os.waitpid(start(run, log), 0)
    if status:
        sys.exit(f"a run ended with the status {status}: see {log}")
    return time.monotonic() - begun


def killed_after(seconds: float, child: int) -> float | None:
    """Kill a process at that time; the seconds it took where it ended before."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if os.waitpid(child, os.WNOHANG)[0]:
            return time.monotonic() - begun
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return None if os.WIFSIGNALED(os.waitpid(child, 0)[1]) else seconds


def differences(found: Path, expected: Path) -> list[str]:
    """What is there in one folder alone, or differs."""
    here, there = (
        {p.relative_to(folder): p for p in folder.rglob("*") if not p.name.startswith("events.")}
        for folder in (found, expected)  # TensorBoard begins a file with every start
    )
    alone = [f"{name} is there in one of both" for name in here.keys() ^ there.keys()]
    return alone + [f"{name} differs" for name in here.keys() & there.keys() if not _same(here[name], there[name])]


def _same(one: Path, other: Path) -> bool:
    if one.is_dir() or one.suffix == ".pdf":  # in which stands when it was drawn
        return True
    read = {".jsonl": _lines, ".csv": _lines, ".ckpt": _checkpoint, ".parquet": _rows}.get(one.suffix)
    return read(one) == read(other) if read else filecmp.cmp(one, other, shallow=False)


def _lines(path: Path) -> list[str]:
    return sorted(path.read_text().splitlines())


def _rows(path: Path) -> list[str]:
    return sorted(map(str, pyarrow.parquet.read_table(path).to_pylist()))


def _checkpoint(path: Path) -> str:
    def plain(value: Any) -> Any:
        return value.tolist() if isinstance(value, torch.Tensor) else str(value)

    content = torch.load(path, weights_only=True)
    return json.dumps([content[name] for name in ("state_dict", "optimizer_states", "global_step")], default=plain)


def main() -> None:
    """Prints how often each command was killed, and what was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # which a fork keeps, and a busy machine shares well
    chance, work = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="kills-"))
    root, expected, log = work / "root", work / "expected", work / "log.txt"
    tempfile.tempdir = os.environ["TMPDIR"] = str(work / "temporary")
    Path(tempfile.tempdir).mkdir()
    runs = commands(root)
    seconds = {name: finish(run, log) for name, run in runs.items()}
    finish(runs["pack"], log)  # from now on it replaces
    root.rename(expected)
    shutil.copytree(expected, root)
    killed: Counter[str] = Counter()
    faults: list[str] = []
    whole = set(runs)
    while killed.total() < options.kills:
        name = chance.choice(list(runs))
        if name in whole and name != "pack":
            shutil.rmtree(root / name)
            shutil.rmtree(root / "features", ignore_errors=True)  # of judges, which `sweep` and `test` keep there
            if name == "predict":
                whole -= {name}
        took = killed_after(chance.uniform(0, seconds[name]), start(runs[name], log))
        hit = took is None
        if took is not None:
            seconds[name] = took  # the machine is not as busy as it was
        killed[name] += hit
        sys.stderr.write(f"{killed.total()}: {name} {'killed' if hit else 'had ended'}; {len(faults)} faults\n")
        whole -= {name}
        if not hit or chance.random() < 0.5:
            finish(runs[name], log)
            whole |= {name}
            faults += [f"{name}: {fault}" for fault in differences(root / name, expected / name)]
        if name == "predict" and name not in whole:  # the others read what it writes
            finish(runs[name], log)
            whole |= {name}
    for name in runs:
        finish(runs[name], log)
        faults += [f"{name}: {fault}" for fault in differences(root / name, expected / name)]
    faults += [f"left: {path}" for path in [*root.rglob(".*"), *Path(tempfile.tempdir).rglob("*")]]
    sys.stdout.write(f"killed {dict(killed)}; {len(faults)} faults\n" + "".join(f"{fault}\n" for fault in faults))
    shutil.rmtree(work) if not faults else sys.exit(f"see {work}")


if __name__ == "__main__":
    main()
