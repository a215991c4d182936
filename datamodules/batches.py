"""What leaves the datamodules: one style reference, one picture to generate or to score, and batches of them."""

from typing import Any, NamedTuple, NotRequired, TypedDict

from PIL import Image

from datamodules.vocabulary import content_prompt


class Reference(NamedTuple):
    """One style-reference image, named but not opened."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    """Position in its sorted set, 0 .. n-1; -1 - i for negative reference i."""
    key: str
    """Path below the root, with `/` and without suffix: "frog/frog/a-frog-in-lego toy_0"; no two are alike."""
    content: str
    """The class, or the words for what the image shows: "frog"; "" for a negative reference."""
    style: str
    """The style that the image is drawn in: "lego toy"."""

    @property
    def content_prompt(self) -> str:
        """The prompt that asks for the content alone: "A frog", "An airplane"."""
        return content_prompt(self.content)


class ReferenceBatch(TypedDict):
    """Style references; `images` is absent where the loader was asked for names only."""

    references: list[Reference]
    images: NotRequired[list[Image.Image]]
    """RGB, each in its own size."""
    content_maps: NotRequired[list[Image.Image | None]]
    """Contours of the images, RGB, each in its own size; beside `images`, and only those of a `CaptionedSet`."""


class Job(NamedTuple):
    """One picture to generate."""

    reference: Reference
    prompt: str
    sample: int
    """0 .. samples_per_prompt - 1."""
    seed: int
    """Seed of this picture's initial noise: the base seed + `sample`."""
    others: tuple[Reference, ...] = ()
    """Further references of the same style that the picture is conditioned on."""
    negatives: tuple[Reference, ...] = ()
    """References whose feature takes the place of the zero feature in the unconditional half of guidance."""
    content_image: Reference | None = None
    """Image whose layout the picture keeps (key "content:...", content = the prompt, style ""); None is text-driven."""

    @property
    def all_references(self) -> tuple[Reference, ...]:
        """The style references: the main one, the others and the negatives."""
        return self.reference, *self.others, *self.negatives


class JobBatch(TypedDict):
    """Pictures to generate, and the images of all their references."""

    jobs: list[Job]
    images: dict[str, Image.Image]
    """`Reference.key` -> its image (RGB, each in its own size), for each reference and content image of each job."""


class Prediction(NamedTuple):
    """One generated picture, named but not opened."""

    path: str
    method: str
    """Short name of the method; the name of the table, without suffix, where that does not say."""
    reference_key: str
    """`Reference.key` of the style reference; in a table the path as written, without suffix."""
    reference_path: str
    """Where the image of the reference lies: its name in `PredictionBatch["references"]`."""
    content: str
    """What the reference shows: "frog"."""
    style: str
    """The style of the reference; "" where a table does not say."""
    prompt: str
    sample: int
    """Number of the picture among those of the same method, reference, prompt and content image."""
    seed: int | None
    """Seed of the initial noise; None where a table does not say."""
    share_masked: float | None
    """Share of the feature's elements that were set to zero; None for methods without a mask, and in tables."""
    settings: dict[str, Any]
    """What decided the picture, as its method wrote it; empty in tables."""
    content_image: str | None = None
    """`Reference.key` of the image whose layout the picture keeps; None is text-driven."""
    content_image_path: str | None = None
    """Where that image lies; None also where it is in none of the `references`, for no score asks for it."""

    @property
    def content_prompt(self) -> str:
        """The prompt that asks for the content of the reference alone: "A frog"."""
        return content_prompt(self.content)


class PredictionBatch(TypedDict):
    """Pictures with their references, all RGB and each in its own size; those that cannot be read are left out."""

    predictions: list[Prediction]
    images: list[Image.Image]
    """The picture of each prediction."""
    references: dict[str, Image.Image]
    """`Prediction.reference_path` -> its image; each is opened once a batch."""
    failures: dict[str, str]
    """Path of each picture left out -> why."""
