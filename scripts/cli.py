"""The console script `maskst`: help at once, its subcommands, and errors in one line."""

import errno
import os
import sys
import traceback
from pathlib import Path

from scripts.paths import with_home
from scripts.stopping import stoppable

ROOT = Path(__file__).parents[1]
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
_ROOMS = ("lightning_modules", "datamodules", "callbacks", "scripts")
_WAY_ON = {
    "fit": ["`--ckpt_path last` with the same arguments goes on from the last checkpoint, if there is one."],
    "predict": ["Finished pictures are kept: the same command goes on from here."],
    "sweep": ["Finished pictures are kept: the same command goes on from here."],
    "weights": ["What was fetched is kept: the same command goes on from here."],
}
_HELP = """\
usage: maskst {fit,validate,predict,sweep} --config FILE [--config FILE ...] [--KEY VALUE ...]
       maskst test --data.folders FOLDERS --data.references FOLDERS [--KEY VALUE ...]
       maskst weights [BACKBONE] [--fetch]
       maskst export CHECKPOINT OUT [--overwrite]

Style transfer by diffusion models whose image condition does not leak the content of its reference. Without
further configs everything runs on the miniature, which is shipped: nothing is downloaded.

  fit       train an adapter, or a StyleShot, by reconstruction; evaluates at step 0 and on the way, writes checkpoints
  validate  score a method or a checkpoint on the fixed evaluation set
  predict   write the pictures of a method for references x prompts x samples
  sweep     the same for many settings, by one process that goes on where it was stopped; then `test`
  test      score pictures that lie in folders: a table with a row a picture, tables, and report.html
  weights   list the weights of the backbones: bytes, what is here, and `--fetch` for what is not
  export    write a trained adapter, or a trained StyleShot, as `.safetensors` with how it was trained

Backbones are configs too, given after the method's: configs/backbone/sd15.yaml is Stable Diffusion 1.5, sdxl.yaml
and sdxl_vit_h.yaml are SDXL with the image encoder ViT-bigG/14 or ViT-H/14, styleshot.yaml and styleshot_lineart.yaml
are Stable Diffusion 1.5 with StyleShot, of which miniature_styleshot.yaml is the small one. Their weights come from
the hub, or from folders of yours (`--model.backbone.model FOLDER`):
  maskst predict --config configs/predict/masking.yaml --config configs/backbone/sd15.yaml --data.test my/styles

Examples:
  maskst predict --config configs/predict/masking.yaml
      Pictures and their settings in outputs/predict/masking. A second run makes only what is missing.
  maskst predict --config configs/predict/masking.yaml --data.prompts '[A rocket]' --data.predict_references 4
      Any key of the configs can be given here too.
  maskst predict --config configs/predict/masking.yaml --config configs/backbone/miniature_styleshot.yaml \\
      --model.backbone.content_fusion true --data.content_images my/contents
      Each style onto each image of a folder, whose names are the prompts.
  maskst fit --config configs/fit/image_adapter.yaml
      Curves, grids and checkpoints in outputs/fit/image_adapter; `--ckpt_path last` goes on after a stop.
  maskst validate --config configs/predict/masking.yaml
      Scores in outputs/evaluate/masking: a constant line beside the curves of `fit`.
  maskst test --data.folders '[outputs/predict/masking, outputs/predict/ip_adapter]' \\
      --data.references data/miniature/object_test
      Scores of both methods in outputs/scores, with paired differences. Any pictures: `--data.table my/pictures.csv`.
  maskst sweep --config configs/sweep/published.yaml
      IP-Adapter, InstantStyle and masking over their strengths in outputs/sweep, and their trade-off in its report.
  maskst fit --config configs/fit/image_adapter.yaml --config configs/fit/published_objective.yaml
      Configs stack, the later over the earlier; this pair writes to outputs/fit/image_adapter_published.
  maskst export outputs/fit/image_adapter/checkpoints/last.ckpt image_adapter.safetensors
  tensorboard --logdir outputs
  maskst fit --help; maskst fit --model.help AdapterReconstruction; maskst predict --config FILE --print_config
      All options of a subcommand, those of a class, and what a stack of configs comes to.
  maskst fit --config configs/fit/image_adapter.yaml --trainer.callbacks Timer --trainer.callbacks.duration 00:12:00:00
      A callback beside the project's own, each of which has a key: `--image_grid.references 3`, `--throughput null`.

Stopped by Ctrl-C or SIGTERM, a command saves what is in hand, says how to go on, and ends with 130 or 143 (`fit` with
`last.ckpt` of its present step); a second signal ends it at once. MASKST_TRACEBACK=1 shows where an error comes from.
A config that is not found from here is looked for in {root}:
  {configs}
"""


def main(args: list[str] | None = None) -> None:
    """Run `maskst` with `args`, or as a program with those of the command line.

    Errors that this project raises reach a caller who gives `args`; a program ends with one line and code 2.
    """
    arguments = shipped_configs(with_home(sys.argv[1:] if args is None else list(args)))
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(help_text())
        return
    if args is not None:
        _run(arguments)
        return
    from scripts.ranks import beside_rank_0, lost_rank

    try:
        with stoppable(*_WAY_ON.get(arguments[0], ())), beside_rank_0():
            _run(arguments)
    except (ValueError, OSError, RuntimeError) as error:
        ours = raised_here(error) or lost_rank(error) or of_the_disk(error)
        if ours is None or os.environ.get("MASKST_TRACEBACK"):
            raise
        sys.stderr.write(f"maskst: error: {ours}\n")
        sys.exit(2)


def help_text() -> str:
    """What `maskst --help` says."""
    configs = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("configs/*/*.yaml"))]
    names = "\n  ".join(name for name in configs if not name.startswith("configs/defaults"))
    return _HELP.replace("{root}", str(ROOT)).replace("{configs}", names)


def shipped_configs(arguments: list[str]) -> list[str]:
    """The arguments, where each `--config` that does not exist from here names the shipped file, if there is one."""
    found = list(arguments)
    for place, argument in enumerate(arguments):
        option, _, path = argument.rpartition("=")
        is_config = option in ("--config", "-c") or (place > 0 and arguments[place - 1] in ("--config", "-c"))
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


def _run(arguments: list[str]) -> None:
    # Each imported where it is needed: PyTorch and Lightning take seconds, which the help must not.
    from scripts.startup import kept_imports

    if arguments[0] == "export":
        with kept_imports():
            from scripts import export

        return export.main(arguments[1:])
    if arguments[0] == "weights":
        from scripts import weights

        return weights.main(arguments[1:])
    if arguments[0] == "test":
        with kept_imports():
            from scripts.scoring import Test

        Test(arguments[1:])
        return None
    names = [argument.partition("=")[0] for argument in arguments]
    if not any(name in ("-c", "--config", "-h", "--help") or name.startswith("--model") for name in names):
        raise ValueError(
            "`--config` is missing: it says what to run. Give one or more, for example "
            "`--config configs/predict/masking.yaml`; `maskst --help` lists those that are shipped."
        )
    with kept_imports():
        # Every subcommand comes to this one too, but later.
        import lightning_modules.diffusion.loading  # noqa: F401
        from scripts.commands import Commands

        if arguments[0] == "sweep":
            from scripts.sweep import Sweep

            return Sweep(arguments[1:]).run()
    Commands(arguments)
    return None


if __name__ == "__main__":
    main()
