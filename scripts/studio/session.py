"""The drawing of the studio: networks and judge that are loaded once, and requests that they draw one after another."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread

import torch
from lightning import Trainer

from callbacks.prediction_writer import picture_line, picture_name
from callbacks.scoring.judge import Judge
from datamodules.batches import Reference
from datamodules.images import ImageFile, read_image
from datamodules.pictures import Pictures
from datamodules.references import Entry, ReferenceSet
from datamodules.vocabulary import AUTO, contents_of, read_vocabulary
from lightning_modules.conditions.masking import Masking
from lightning_modules.outputs import Found, to_pil
from lightning_modules.style_transfer import StyleTransfer
from scripts.methods import ALL, chosen_methods, swept
from scripts.report.masks import draw_profile, profile_of
from scripts.studio.desk import Upload, file_names, png
from scripts.studio.gallery import Gallery, Mask, Picture
from scripts.studio.request import Request
from scripts.variants import Variant, variants
from scripts.verdicts import judged

MOST_PICTURES = 200
"""Of one request."""


class Stopped(Exception):
    """Ends the drawing of a request that was stopped."""


class Studio:
    """Draws requests with networks and a judge that are loaded once.

    Args:
        model: its networks are loaded by `load`, or for the first picture, to the device of the trainer.
        judge: who scores the pictures.
        trainer: of `maskst predict` with the same arguments; it says where the pictures are drawn, and how precisely.
        batch_size: pictures at a time.
        vocabulary: among which words those of references are found.
        further: arguments of the command line that `maskst transfer` takes too.
    """

    def __init__(
        self,
        model: StyleTransfer,
        judge: Judge,
        trainer: Trainer,
        batch_size: int = 30,
        vocabulary: str = "nouns",
        further: Sequence[str] = (),
    ) -> None:
        self.device, self.precision = trainer.strategy.root_device, trainer.precision_plugin
        model.trainer = trainer
        model.setup("predict")
        self.model, self.judge = model, judge.to(self.device)
        self.batch_size, self.vocabulary, self.further = batch_size, vocabulary, further
        self.sampling, self._lock, self._is_loaded = model.sampling, Lock(), False

    def load(self) -> None:
        """Load the networks, once; whoever asks for pictures meanwhile waits."""
        with self._lock:
            self._load()

    def _load(self) -> None:
        if not self._is_loaded:
            self.model.configure_model()
            self.precision.convert_module(self.model)
            self.model.to(self.device).eval()
            self._is_loaded = True

    @property
    def methods(self) -> list[str]:
        """The methods that this backbone can draw."""
        return chosen_methods([ALL], self._has_styleshot)

    @property
    def reads_layouts(self) -> bool:
        """Whether pictures can keep the layout of content images."""
        return self.model.reads_content_images

    @property
    def blocks(self) -> list[str]:
        """The presets of `target_blocks`."""
        return ["all", "style", "style_layout"]

    @property
    def _has_styleshot(self) -> bool:
        return self.model.backbone.style_encoder is not None

    def draw(self, request: Request, stop: Event | None = None) -> Iterator[Gallery]:
        """Yields the same gallery again and again while it grows; `stop` ends it within a denoising step.

        Raises:
            ValueError: something that was asked for cannot be drawn.
        """
        stop = stop or Event()
        told: SimpleQueue[Gallery | BaseException | None] = SimpleQueue()
        drawing = Thread(target=self._draw_aside, args=(request, stop, told), daemon=True, name="drawing")
        drawing.start()
        try:
            while (found := told.get()) is not None:
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:  # also where nobody asks for the rest
            stop.set()
            drawing.join()

    def find(self, upload: Upload) -> Found | None:
        """The word for what a picture shows; None where this backbone finds none."""
        if self._has_styleshot:
            return None
        [content] = contents_of([upload.name], AUTO, self.vocabulary)
        reference, words = Reference(0, upload.name, content, "", upload.digest), read_vocabulary(self.vocabulary)
        with self._lock, torch.inference_mode():
            self._load()
            feature = {reference: self.model.model.encode_images([read_image(upload.data)])}
            return self.model.generator.find_words([reference], words, feature.__getitem__)[reference.key]

    def _draw_aside(self, request: Request, stop: Event, told: "SimpleQueue[Gallery | BaseException | None]") -> None:
        """What a thread does; all that it has to say goes through `told`."""
        try:
            with self._lock, TemporaryDirectory() as folder:
                self._load()
                self._draw(request, Path(folder), stop, told.put)
        except BaseException as error:
            told.put(error)
        told.put(None)

    def _draw(self, request: Request, folder: Path, stop: Event, tell: Callable[[Gallery], None]) -> None:
        data, methods, begun = self._data(request, folder), self._variants(request), time.monotonic()
        gallery = Gallery([*methods], data.predict_jobs, replace(request, methods=[*methods]).command(self.further))
        if gallery.total > MOST_PICTURES:
            raise ValueError(
                f"{gallery.total} pictures were asked for: the studio draws {MOST_PICTURES} at a time. Ask for fewer "
                "references, prompts, samples or methods, or draw them by the command line."
            )

        def progress(pictures: float) -> None:
            gallery.done += pictures
            gallery.seconds = time.monotonic() - begun
            tell(gallery)
            if stop.is_set():
                raise Stopped

        # Encoded beside others, features differ in their last bits: each request begins as a run of its own would.
        self.model.generator.forget()
        self.model.generator.progress = progress
        try:
            for method, variant in methods.items():
                self._draw_column(gallery, method, variant, data, progress)
        except Stopped:
            gallery.stopped = True
        finally:
            self.model.generator.progress = None
        if not gallery.stopped:
            self._add_masks(gallery, methods, data)
        gallery.over, gallery.seconds = True, time.monotonic() - begun
        tell(gallery)

    def _draw_column(
        self, gallery: Gallery, method: str, variant: Variant, data: Pictures, progress: Callable[[float], None]
    ) -> None:
        """The pictures of one method, batch by batch."""
        self.model.use(variant.condition, variant.sampling)
        settings = {"name": self.model.name, **self.model.settings}
        gallery.settings[method] = settings
        rows = {job.identity: row for row, job in enumerate(gallery.jobs)}
        for batch in data.predict_dataloader():
            progress(0)  # it may have been stopped meanwhile
            with torch.inference_mode(), self.precision.predict_step_context():
                drawn = self.model.generate(batch)
            images = to_pil(drawn.images)
            scores = judged(self.judge, images, drawn.jobs, drawn.references) if images else []
            for job, image, share, said in zip(drawn.jobs, images, drawn.shares, scores, strict=True):
                found = drawn.found.get(job.reference.key)
                line = picture_line(job, share, self.model.name, settings, found)
                name = picture_name(job, self.model.name)
                gallery.pictures[rows[job.identity], method] = Picture(job, name, png(image), line, said, share)
            gallery.failures |= {(rows[job.identity], method): why for job, why in drawn.failures.items()}
            gallery.done = float(len(gallery.pictures) + len(gallery.failures))

    def _add_masks(self, gallery: Gallery, methods: Mapping[str, Variant], data: Pictures) -> None:
        """What 2-means masking, where it is among the methods, drops of each reference."""
        if not any(isinstance(variant.condition, Masking) for variant in methods.values()):
            return
        named = {picture.job.reference.key: picture.job.reference for picture in gallery.pictures.values()}
        for reference in named.values():
            with torch.inference_mode():
                feature = self.model.model.encode_images([data.test_set.image(reference.index)])
                profile = profile_of(self.model, reference, feature, reference.key)
            figure = BytesIO()
            draw_profile(profile).savefig(figure, format="svg")
            gallery.masks.append(Mask(reference.key, profile.content, profile.words, figure.getvalue()))

    def _data(self, request: Request, folder: Path) -> Pictures:
        """The references, prompts and content images of a request, whose files are written to `folder`."""
        files = _written(request.references, folder / "pictures")
        data = Pictures(
            [str(file) for file in files],
            prompts=request.prompts,
            samples_per_prompt=request.samples,
            seed=request.seed,
            content_words={file.name: word or AUTO for file, word in zip(files, request.words, strict=True)},
            vocabulary=self.vocabulary,
            generation_batch_size=self.batch_size,
        )
        if request.layouts:
            data.content_set = _content_set(request, folder / "layouts")
        data.setup("predict")
        return data

    def _variants(self, request: Request) -> dict[str, Variant]:
        """Each method with its settings."""
        sampling = replace(self.sampling, **dict(request.sampling))
        known = chosen_methods(list(request.methods), self._has_styleshot)
        chosen = sorted(known, key=self.methods.index)
        return {name: variants([swept(name, request.strength)], sampling)[0] for name in chosen}


def _written(uploads: Sequence[Upload], folder: Path) -> list[Path]:
    """The files of some pictures, as they came, in a new folder."""
    folder.mkdir()
    files = [folder / name for name in file_names(uploads)]
    for file, upload in zip(files, uploads, strict=True):
        file.write_bytes(upload.data)
    return files


def _content_set(request: Request, folder: Path) -> ReferenceSet:
    """The content images of a request, each with its prompt."""
    count, prompts = len(request.layouts), list(request.prompts)
    if len(prompts) not in (1, count):
        raise ValueError(
            f"There are {count} content images and {len(prompts)} prompts: give a prompt for each, a line each in "
            "their order, or one for all."
        )
    told = zip(_written(request.layouts, folder), prompts * (count if len(prompts) == 1 else 1), strict=True)
    entries = [Entry(f"content:{file.stem}", prompt, "", ImageFile(file)) for file, prompt in told]
    return ReferenceSet(folder, entries, check_sizes=True)
