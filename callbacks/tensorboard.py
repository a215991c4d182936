"""How TensorBoard shows the scores: one chart a score in which the runs of all methods overlay."""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

_CHARTS = {
    "alignment": ["alignment/text", "alignment/image"],
    "leakage": ["leakage/leaked", "leakage/leaked_among_all", "mask/share_masked"],
}


def writers(trainer: Trainer) -> list[Any]:
    """The TensorBoard writers of this run's loggers; none on ranks other than 0."""
    if not trainer.is_global_zero:
        return []
    return [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def layout() -> dict[str, dict[str, list[Any]]]:
    """Layout of the "Custom scalars" page: each score as lines, the alignments with their intervals too."""
    lines = {
        group: {tag.split("/")[1].replace("_", " "): ["Multiline", [_any_judge(tag)]] for tag in tags}
        for group, tags in _CHARTS.items()
    }
    intervals = {
        f"{tag}, 95 % interval": ["Margin", [tag, f"{tag}_low", f"{tag}_high"]]
        for tag in [*_CHARTS["alignment"], "leakage/leaked"]
    }
    return {**lines, "intervals": intervals}


def _any_judge(tag: str) -> str:
    """Regular expression (matched from the start) of a tag with any judge's suffix, without intervals."""
    others = "".join(f"(?!{other})" for tags in _CHARTS.values() for other in tags if other.startswith(f"{tag}_"))
    return rf"{others}{tag}(?!.*_(low|high)$)(_.*)?$"


def add_layout(trainer: Trainer) -> None:
    """Write the layout into every TensorBoard run of `trainer`."""
    for writer in writers(trainer):
        writer.add_custom_scalars(layout())
