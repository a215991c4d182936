"""The datamodule of scoring: pictures that were generated before, each with its style reference."""

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image
from torch.utils.data import Dataset

from datamodules.batch_sampler import batches_of, share_of_rank
from datamodules.batches import Prediction, PredictionBatch
from datamodules.loaders import BatchLoader
from datamodules.prediction_batches import Found, listed
from datamodules.prediction_folders import ReferenceLookup, read_folders
from datamodules.prediction_tables import read_table
from datamodules.references import ImageFile, ImageSource, open_image

REFERENCES_WAY_OUT = (
    "Give as `references` the folders that the style references were read from: what was `test` or `root` of the "
    "datamodule, such as data/object_test, or data/miniature/object_test of `MiniatureReferences`."
)


class Predictions(LightningDataModule):
    """Generated pictures that are to be scored, each once whatever the number of processes.

    They are named by `folders` with `references`, or by a `table`. Pictures that cannot be scored are reported
    once, left out, and kept as `failures`; those that cannot be opened are among the failures of their batch.

    Args:
        folders: Folders that `maskst predict` wrote.
        references: Folders (or shards) that their references are found in by key: what `test` or `root` of the
            datamodule was, and `content_images`. A folder of StyleBench serves for its content images too.
        table: CSV or JSON lines with the columns image, reference, prompt, content (what the reference shows) and,
            where known, style, method, sample, seed, content_image. Paths are relative to the folder of the table.
        batch_size: Pictures scored at a time by each process.
        num_workers: Processes that open images; 0 opens them in the main process.

    Raises:
        ValueError: If not exactly one of `folders` and `table` is given, `references` is missing or beside a
            `table`, or a number is too small.
    """

    def __init__(
        self,
        folders: str | list[str] | None = None,
        references: str | list[str] | None = None,
        table: str | None = None,
        *,
        batch_size: int = 32,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.folders, self.references, self.table = _names(folders), _names(references), table
        _check_sources(self.folders, self.references, table)
        for name, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
            if value < least:
                raise ValueError(f"`{name}` is a number from {least} up and was {value}.")
        self.batch_size, self.num_workers = batch_size, num_workers
        self._only: set[str] | None = None
        # With fewer pictures than processes some process has nothing to score, which is no error.
        self.allow_zero_length_dataloader_with_multiple_devices = True

    @cached_property
    def found(self) -> Found:
        """All pictures, named but not opened, the same on all ranks.

        Raises:
            FileNotFoundError: If a folder or the table is missing.
            ValueError: If a folder is empty, the table is faulty, a picture comes twice, or none can be scored.
        """
        if self.table is not None:
            found = read_table(self.table)
        else:
            found = read_folders(self.folders, ReferenceLookup(self.references))
        if self._only is not None:
            kept = [prediction for prediction in found.predictions if prediction.path in self._only]
            failures = {path: reason for path, reason in found.failures.items() if path in self._only}
            found = found._replace(predictions=kept, failures=failures)
        _report(found)
        return found

    def keep_only(self, paths: Iterable[str | Path]) -> None:
        """Leaves out all pictures but those of `paths`; call it before they are looked for."""
        self._only = set(map(str, paths))

    @property
    def predictions(self) -> list[Prediction]:
        """The pictures that are scored."""
        return self.found.predictions

    @property
    def failures(self) -> dict[str, str]:
        """Path of each picture that cannot be scored -> why; nothing of those that nobody has opened yet."""
        return self.found.failures

    @property
    def sources(self) -> list[str]:
        """Where the pictures come from: the folders, or the table."""
        return [os.path.realpath(source) for source in (self.folders if self.table is None else [self.table])]

    @property
    def content_prompts(self) -> list[str]:
        """The prompts of all contents that the references show, which may have leaked into a picture."""
        return sorted({prediction.content_prompt for prediction in self.predictions})

    def setup(self, stage: str) -> None:
        """Finds all pictures, so that a fault is named before a judge is loaded."""
        _ = self.found

    def test_dataloader(self) -> BatchLoader[PredictionBatch]:
        """This rank's share of the batches, in order."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        # Whole batches, the same for any number of processes: features depend on their batch in the last bits.
        batches = batches_of(range(len(self.predictions)), self.batch_size)
        # A process without pictures gets an empty batch: without any it would leave the others waiting for it.
        share = [batches[place] for place in share_of_rank(len(batches), rank, world_size)] or [[]]
        return BatchLoader(PredictionBatches(self.found), share, self.num_workers)


class PredictionBatches(Dataset[PredictionBatch]):
    """Batches of pictures by their positions among the predictions."""

    def __init__(self, found: Found) -> None:
        self.found = found

    def __getitem__(self, indices: list[int]) -> PredictionBatch:
        named = [self.found.predictions[index] for index in indices]
        places = dict.fromkeys(prediction.reference_path for prediction in named)
        references = {place: _opened(self.found.references[place]) for place in places}
        batch: PredictionBatch = {
            "predictions": [],
            "images": [],
            "references": {place: opened for place, opened in references.items() if isinstance(opened, Image.Image)},
            "failures": {},
        }
        for prediction in named:
            image, reference = _opened(ImageFile(Path(prediction.path))), references[prediction.reference_path]
            if isinstance(image, str):
                batch["failures"][prediction.path] = image
            elif isinstance(reference, str):
                what = f"its reference `{prediction.reference_path}` cannot be read: {reference}"
                batch["failures"][prediction.path] = what
            else:
                batch["predictions"].append(prediction)
                batch["images"].append(image)
        return batch


def _opened(source: ImageSource) -> Image.Image | str:
    """The image, or why it cannot be read: a picture may be spoilt at any time, which must not end a long run."""
    try:
        return open_image(source)[0]
    except ValueError as error:
        return str(error)


def _names(given: str | Sequence[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def _check_sources(folders: list[str], references: list[str], table: str | None) -> None:
    if bool(folders) == (table is not None):
        raise ValueError(
            f"`folders` was {folders} and `table` was {table!r}. Expected one of the two: `folders` that "
            "`maskst predict` wrote, or a `table` that names pictures of any origin."
        )
    if folders and not references:
        raise ValueError(f"`folders` needs `references`, which is not given. {REFERENCES_WAY_OUT}")
    if table is not None and references:
        raise ValueError(
            f"`references` was {references}, but a `table` names the reference of each picture itself. Leave it out."
        )


def _report(found: Found) -> None:
    failures = [f"{path}: {reason}" for path, reason in found.failures.items()]
    total = len(found.predictions) + len(failures)
    if not found.predictions:
        raise ValueError(
            f"None of the {total} pictures can be scored:\n  {listed(failures)}\n"
            f"Where the references are missing: {REFERENCES_WAY_OUT}"
        )
    if failures:
        rank_zero_warn(f"{len(failures)} of {total} pictures cannot be scored and are left out:\n  {listed(failures)}")
