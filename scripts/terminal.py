"""What a command shows, the project's own words alone, and with how many threads it computes.

All this belongs to the command line: who imports the project hears from every library what it has to say.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOMS = [Path(__file__).parents[1] / room for room in ("lightning_modules", "datamodules", "callbacks", "scripts")]
_LIBRARIES = {"transformers": "TRANSFORMERS", "diffusers": "DIFFUSERS", "huggingface_hub": "HF_HUB"}
_LINES_SECONDS = "30"  # between the lines of a bar in a log
_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass
class Terminal:
    """What is asked of every command: `--quiet` and `--threads`, wherever they stand, and `MASKST_LOG`."""

    quiet: bool = False
    """Warnings and errors alone, and no bar."""
    threads: int | None = None
    """Of each process; None: as many as the CPUs that it may use."""
    debug: bool = False
    """All that libraries say, and where an error comes from."""
    alone: bool = False
    """Whether the process ends with its command, and nobody else hears what libraries say."""

    def read(self, arguments: list[str]) -> list[str]:
        """Take its own from the arguments, and give the others.

        Raises:
            ValueError: `--threads` or `MASKST_LOG` is faulty.
        """
        vars(self).update(vars(Terminal()))
        left, rest = [], iter(arguments)
        for argument in rest:
            name, equals, value = argument.partition("=")
            if name == "--threads":
                self.threads = _threads(value if equals else next(rest, ""))
            elif argument == "--quiet":
                self.quiet = True
            else:
                left.append(argument)
        log = os.environ.get("MASKST_LOG", "")
        if log not in ("", "debug"):
            raise ValueError(f"`MASKST_LOG` was {log!r}: set it to `debug` to see all that libraries say, or unset it.")
        self.debug = log == "debug"
        return left

    def set_threads(self) -> None:
        """As many as asked for, at most as many as the CPUs that are allowed; before PyTorch is imported."""
        threads = self.threads or (None if "OMP_NUM_THREADS" in os.environ else allowed_by_quota())
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = str(threads)  # which the processes of further ranks read too
            if torch := sys.modules.get("torch"):
                torch.set_num_threads(threads)

    def before_imports(self) -> None:
        """Set what libraries read once; called by a program."""
        self.alone = True
        # Threads that wait by spinning take the CPUs from those that they wait for, wherever others compute as well.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if self.debug:
            return
        for prefix in _LIBRARIES.values():
            os.environ.setdefault(f"{prefix}_VERBOSITY", "error")
        if self.quiet:
            os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["TQDM_DISABLE"] = "1"
        if not sys.stderr.isatty():
            os.environ.setdefault("TQDM_MININTERVAL", _LINES_SECONDS)
        for category in (FutureWarning, DeprecationWarning, PendingDeprecationWarning):  # are for who writes programs
            warnings.filterwarnings("ignore", category=category)

    def after_imports(self) -> None:
        """Leave out what libraries say of themselves, and write warnings in a line, where this is a program."""
        if self.debug or not self.alone:
            return
        from huggingface_hub.utils import enable_progress_bars
        from lightning.fabric.utilities.warnings import PossibleUserWarning
        from transformers.utils import logging as transformers_logging

        warnings.filterwarnings("ignore", category=PossibleUserWarning)
        warnings.formatwarning = _in_a_line
        transformers_logging.disable_progress_bar()  # of weights that are read in no time, and of downloads:
        if not self.quiet:
            enable_progress_bars()
        for name in ("lightning.pytorch", "lightning.fabric"):
            logger = logging.getLogger(name)
            for handler in logger.handlers:
                handler.addFilter(_is_ours)
            if self.quiet:
                logger.setLevel(logging.WARNING)


TERMINAL = Terminal()
"""Of this process."""


def allowed_by_quota() -> int | None:
    """The CPUs that the control groups of this process leave it; None where they are no fewer than it may run on.

    PyTorch itself counts only those that it may run on.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    least = min(_quotas(), default=float("inf"))
    return max(1, int(least)) if least < usable else None


def _quotas() -> Iterator[float]:
    """CPUs that each group around this process grants, of both versions of control groups."""
    lines = _OWN_CGROUPS.read_text().splitlines() if _OWN_CGROUPS.exists() else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / controllers
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            for name in ("cpu.max", "cpu.cfs_quota_us"):
                yield from _granted(folder / name)
            if folder == root:
                break


def _granted(file: Path) -> Iterator[float]:
    if not file.is_file():
        return
    words = file.read_text().split()
    if file.name == "cpu.cfs_quota_us":
        words.append((file.parent / "cpu.cfs_period_us").read_text())
    if words[0] not in ("max", "-1"):
        yield int(words[0]) / int(words[1])


def _threads(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(
            f"`--threads` is how many threads compute, a number from 1 up, and was {text!r}. Leave it out for as many "
            "as the CPUs that may be used."
        )
    return int(text)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or any(room in Path(record.pathname).parents for room in _ROOMS)


def _in_a_line(message: Warning | str, *_: object, **__: object) -> str:
    """A warning that begins a line of its own, also where a bar stands in it."""
    start = "\r\033[K" if sys.stderr.isatty() else ""
    return f"{start}maskst: warning: {message}\n"
