"""Runs the stages that are not finished yet, one after the other."""

import resource
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from datamodules.folders import FolderInUseError
from scripts.reproduction.display import Display
from scripts.reproduction.folder import OutputFolder
from scripts.reproduction.options import Options, parse
from scripts.reproduction.process import Report, StageFailedError, progress_arguments, run_module
from scripts.reproduction.stages import CONFIGS, MASKST, SWEEP, Stage, plan, run_folder
from scripts.times import clock

WAY_ON = "The same command continues from here; finished stages are kept."


def main(args: Sequence[str] | None = None) -> int:
    """Start or continue a reproduction; the exit code of the program."""
    options = parse(args)
    folder = OutputFolder(options.output, options.settings([*CONFIGS.values(), SWEEP]))
    try:
        folder.check()
        if folder.mark("report") is None:
            folder.open()
            run(options, folder)
    except KeyboardInterrupt:
        return _say(f"Stopped. {WAY_ON}", 130)
    except StageFailedError as error:
        return _say(f"{error}\nFinished stages are kept: the same command repeats this one.", 1)
    except (ValueError, OSError, FolderInUseError) as error:
        return _say(f"error: {error}", 2)
    finally:
        folder.close()
    return _say(f"Finished: open {folder.path / 'report.html'}", 0)


def run(options: Options, folder: OutputFolder) -> None:
    """Run every stage that has no mark yet.

    Raises:
        StageFailedError: a stage ended with an error; the others' work is untouched.
    """
    stages = plan(options)
    with Display({stage.title: stage.cost for stage in stages}) as display:
        for stage in stages:
            if folder.mark(stage.name) is not None:
                display.skip(stage.title)
                continue
            display.begin(stage.title)
            notes = _run_stage(stage, options, folder, partial(display.update, stage.title))
            seconds = display.end(stage.title)
            folder.finish(stage.name, seconds=seconds, clock=clock(seconds), peak_memory_gib=_peak_memory(), **notes)


def _run_stage(stage: Stage, options: Options, folder: OutputFolder, report: Report) -> dict[str, Any]:
    """Run one stage; what is worth a note about it."""
    if not stage.module:
        from scripts.reproduction.assemble import assemble  # matplotlib: only when everything is there

        assemble(options, folder, report)
        return {}
    was_begun = run_folder(options, stage.name).exists()
    log = folder.path.resolve() / "logs" / f"{stage.name}.log"
    watched = progress_arguments(log, stage.settings) if stage.module == MASKST else []
    try:
        run_module([stage.module, *stage.arguments, *watched], log, folder.lock.fileno(), report)
    except StageFailedError as error:
        raise StageFailedError(f"The stage “{stage.title}” failed: {error}") from None
    return {"arguments": stage.arguments, "was_interrupted": was_begun}


def _peak_memory() -> float:
    """The largest memory of any stage's process so far, in GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(peaks) * unit / 2**30


def _say(message: str, code: int) -> int:
    (sys.stderr if code else sys.stdout).write(f"{message}\n")
    return code
