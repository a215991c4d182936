"""What leaves the datamodules: one style reference, one picture to generate or to score, and batches of them."""

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, NotRequired, Protocol, TypedDict

from PIL import Image

from datamodules.vocabulary import TO_FIND, content_prompt


class Reference(NamedTuple):
    """One style-reference image, named but not opened."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    """Position in its sorted set, 0 .. n-1; -1 - i for negative reference i."""
    key: str
    """Path below the root, with `/` and without suffix: "frog/frog/a-frog-in-lego toy_0"; no two are alike."""
    content: str
    """The class, or the words for what the image shows: "frog"; "" for a negative reference.

    Where the word is found among those of a vocabulary it is "auto:" and the fingerprint of that.
    """
    style: str
    """The style that the image is drawn in: "lego toy"."""
    digest: str
    """Tells the encoded bytes of its file from all others (`digest_of`), wherever the file lies."""
    found: str = ""
    """The word that was found; it follows from the rest."""

    @property
    def is_to_find(self) -> bool:
        """Whether its word is found among those of a vocabulary."""
        return TO_FIND.fullmatch(self.content) is not None

    @property
    def word(self) -> str:
        """What it shows, as texts, names of files and scores say it: what was found, or the content."""
        return self.found or self.content

    def named(self, found: Mapping[str, str]) -> "Reference":
        """The same with the word that was found, if any; `found` has words by `Reference.key`."""
        return self._replace(found=found[self.key]) if self.key in found else self

    @property
    def identity(self) -> tuple[str, str, str]:
        """What pictures owe to it: its bytes, what it shows and its style; neither its name nor its place."""
        return self.digest, self.content, self.style

    @property
    def content_prompt(self) -> str:
        """The prompt that asks for the content alone: "A frog", "An airplane"."""
        return content_prompt(self.word)


GREATEST_SEED = 2**32 - 1
"""The random generators of PyTorch read no more than 32 bits of a seed."""


def check_seed(seed: int, further: int = 0, name: str = "seed") -> None:
    """Raises ValueError unless `seed` and the `further` ones after it tell random numbers apart."""
    if not 0 <= seed <= GREATEST_SEED - further:
        more = f" less {further}, for each sample takes the next" if further else ""
        raise ValueError(f"`{name}` is a number from 0 to {GREATEST_SEED}{more} and was {seed}.")


def check_at_least(least: int, **arguments: int | None) -> None:
    """Raises ValueError, which names it, if an argument is smaller; None is not looked at."""
    for name, value in arguments.items():
        if value is not None and value < least:
            raise ValueError(f"`{name}` is a number from {least} up and was {value}.")


def digest_of(data: bytes) -> str:
    """Fingerprint of the encoded bytes of an image, 32 hexadecimal digits."""
    return blake2b(data, digest_size=16).hexdigest()


class ReferenceBatch(TypedDict):
    """Style references; images, maps and failures are there where they were opened."""

    references: list[Reference]
    source: NotRequired["ReferenceSource"]
    """The whole train set; in each batch of training, in none that it opens itself."""
    images: NotRequired[list[Image.Image]]
    """RGB, each in its own size."""
    content_maps: NotRequired[list[Image.Image | None]]
    """Contours of the images, RGB, each in its own size; None where the set has none."""
    failures: NotRequired[dict[str, str]]
    """Place of each image that is left out, because it can no longer be read -> why."""


class ReferenceSource(Protocol):
    """The train set that batches are taken from."""

    @property
    def references(self) -> list[Reference]:
        """All references, in the order of their indices."""

    @property
    def batch_size(self) -> int:
        """References a training step and process."""

    @property
    def vocabulary(self) -> Sequence[str]:
        """The words among which those of the references are found; empty where all contents are known."""

    def open(self, indices: Sequence[int]) -> ReferenceBatch:
        """These references with their images and content maps; what cannot be read is told once and left out.

        In place of a batch that would be empty comes the next readable reference of the set.
        """

    def without(self, references: Sequence[Reference], left_out: Collection[int]) -> list[Reference]:
        """Those whose index is not left out; where there is none, the next of the set that is not."""


class Job(NamedTuple):
    """One picture to generate."""

    reference: Reference
    prompt: str
    sample: int
    """0 .. samples_per_prompt - 1."""
    seed: int
    """Seed of this picture's initial noise, 0 .. 2**32 - 1."""
    others: tuple[Reference, ...] = ()
    """Further references of the same style that the picture is conditioned on."""
    negatives: tuple[Reference, ...] = ()
    """References whose feature takes the place of the zero feature in the unconditional half of guidance."""
    content_image: Reference | None = None
    """Image whose layout the picture keeps (key "content:...", content = the prompt, style ""); None is text-driven."""

    @property
    def identity(self) -> tuple[Any, ...]:
        """All that decides the picture besides the settings of its method, as JSON takes it."""
        content_image = self.content_image and self.content_image.identity
        further = (tuple(reference.identity for reference in each) for each in (self.others, self.negatives))
        return self.reference.identity, self.prompt, self.sample, self.seed, content_image, *further

    def named(self, found: Mapping[str, str]) -> "Job":
        """The same with the words that were found for its references."""
        others = tuple(reference.named(found) for reference in self.others)
        return self._replace(reference=self.reference.named(found), others=others)

    @property
    def all_references(self) -> tuple[Reference, ...]:
        """The style references: the main one, the others and the negatives."""
        return self.reference, *self.others, *self.negatives

    @property
    def all_images(self) -> tuple[Reference, ...]:
        """All references and the content image."""
        return *self.all_references, *([] if self.content_image is None else [self.content_image])


class JobBatch(TypedDict):
    """Pictures to generate, and the images of all their references; a process without pictures has an empty one."""

    jobs: list[Job]
    images: dict[str, Image.Image]
    """`Reference.key` -> its image (RGB, each in its own size), for each reference and content image of each job."""
    failures: NotRequired[dict[Job, str]]
    """Each job that is left out, because an image of it can no longer be read -> why."""
    contents: list[str]
    """The prompts of all contents that references of the set show, which may leak into a picture; empty if unknown."""
    vocabulary: NotRequired[Sequence[str]]
    """The words among which those of references are found; empty where all contents are known."""
    finished: int
    """Pictures of the run that lie there already and are in no batch: told in the first batch of rank 0, else 0."""


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
    positions: list[int]
    """Place of each of them among all pictures that are scored."""
    images: list[Image.Image]
    """The picture of each prediction."""
    references: dict[str, Image.Image]
    """`Prediction.reference_path` -> its image; each is opened once a batch."""
    unread: list[Prediction]
    """Those of the batch that cannot be opened."""
    failures: dict[str, str]
    """Path of each picture left out -> why; the first batch of rank 0 also has those that cannot be scored at all."""
    contents: list[str]
    """The prompts of all contents that references show, which may have leaked into a picture."""
    sources: list[str]
    """Where all pictures come from: folders, or a table."""
