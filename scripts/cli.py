"""The console script `maskst`: help at once, its subcommands, and errors in one line."""

import errno
import gc
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from scripts.paths import with_home
from scripts.stopping import beside_rank_0, lost_rank, stoppable
from scripts.terminal import TERMINAL

ROOT = Path(__file__).parents[1]
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
_ROOMS = ("lightning_modules", "datamodules", "callbacks", "scripts")
_OTHER = {"test": "scoring", "studio": "studio.command"}
_MODULES = {name: name for name in ("sweep", "transfer", "weights", "export")} | _OTHER
"""Command -> its module; all others are in `commands`."""
_CONFIG = ("-c", "--config")
_PICTURES = ["Finished pictures are kept: the same command goes on from here."]
_WAY_ON = {
    "fit": ["`--ckpt_path last` with the same arguments goes on from the last checkpoint, if there is one."],
    "predict": _PICTURES,
    "sweep": _PICTURES,
    "transfer": _PICTURES,
    "studio": ["Its pictures were in memory alone."],
    "weights": ["What was fetched is kept: the same command goes on from here."],
}


def main(args: list[str] | None = None) -> None:
    """Run `maskst` with `args`, or as a program with those of the command line.

    Errors that this project raises reach a caller who gives `args`; a program ends with one line and code 2.
    """
    if args is not None:
        _run(TERMINAL.read(args))
        return
    try:
        arguments = TERMINAL.read(sys.argv[1:])
        TERMINAL.before_imports()
        with stoppable(*_WAY_ON.get(arguments[0] if arguments else "", ())), beside_rank_0():
            _run(arguments)
    except (ValueError, OSError, RuntimeError) as error:
        ours = raised_here(error) or lost_rank(error) or of_the_disk(error)
        if ours is None or TERMINAL.debug or os.environ.get("MASKST_TRACEBACK"):
            raise
        sys.stderr.write(f"maskst: error: {ours}\n")
        sys.exit(2)


def help_text() -> str:
    """What `maskst --help` says."""
    configs = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("configs/*/*.yaml"))]
    names = "\n  ".join(name for name in configs if not name.startswith("configs/defaults"))
    text = (ROOT / "scripts" / "help.txt").read_text(encoding="utf-8")
    return text.replace("{root}", str(ROOT)).replace("{configs}", names)


def shipped_configs(arguments: list[str]) -> list[str]:
    """The arguments, where each `--config` that does not exist from here names the shipped file, if there is one."""
    found = list(arguments)
    for place, argument in enumerate(arguments):
        option, _, path = argument.rpartition("=")
        is_config = option in _CONFIG or (place > 0 and arguments[place - 1] in _CONFIG)
        if is_config and not Path(path).is_file() and (ROOT / path).is_file():
            found[place] = argument.removesuffix(path) + str(ROOT / path)
    return found


def raised_here(error: BaseException | None) -> BaseException | None:
    """The error or that cause of it which this project's own code raised, to teach its user; None where it has none."""
    while error is not None:
        raisers = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
        if raisers and any((ROOT / room) in Path(raisers[-1]).parents for room in _ROOMS):
            return error
        error = error.__cause__
    return None


def of_the_disk(error: BaseException) -> str | None:
    """What to say of a full or forbidden disk that a library met; None of any other error."""
    if not isinstance(error, OSError) or error.errno not in _DISK:
        return None
    named = f"`{error.filename}`" if error.filename else "a file"
    return (
        f"{named} cannot be read or written: {error.strerror}. Free some space, or give a folder that may be used, and "
        "start again: what is finished is kept"
    )


@contextmanager
def kept_imports() -> Iterator[None]:
    """Imports what stays as long as the process: never searched for garbage, neither meanwhile nor at its end.

    The searches took a third of a short run. A process that had Lightning before is left as it is: it may hold other
    objects by now, and those would never be searched either.
    """
    if "lightning" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _run(arguments: list[str]) -> None:
    arguments = shipped_configs(with_home(arguments))
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(help_text())
        return
    TERMINAL.set_threads()
    module = _MODULES.get(arguments[0], "commands")
    if module in ("commands", "sweep"):
        _check_config(arguments)
    with kept_imports():  # now, not above: PyTorch and Lightning take seconds, which the help must not
        if module in ("commands", "sweep", "transfer"):
            import_module("lightning_modules.diffusion.loading")  # which the command comes to as well, but later
        run = import_module(f"scripts.{module}").main
    TERMINAL.after_imports()
    run(arguments if module == "commands" else arguments[1:])


def _check_config(arguments: list[str]) -> None:
    names = [argument.partition("=")[0] for argument in arguments]
    if not any(name in (*_CONFIG, "-h", "--help") or name.startswith("--model") for name in names):
        raise ValueError(
            "`--config` is missing: it says what to run. Give one or more, for example "
            "`--config configs/predict/masking.yaml`; `maskst --help` lists those that are shipped."
        )


if __name__ == "__main__":
    main()
