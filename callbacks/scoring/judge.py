"""What every judge has in common: what it may say, its files, in a folder or from the hub, and its parts, checked."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from callbacks.scoring.features import FeatureStore
from datamodules.names import digest
from lightning_modules.hub import Source, fetch_folder
from lightning_modules.hub_cache import has_weights
from lightning_modules.outputs import Predicted
from lightning_modules.tensor_files import READ, check_processor, check_tokenizer, pretrained

IMAGE, LEAKED, AMONG = "alignment/image", "leakage/leaked", "leakage/leaked_among_all"
STYLE_SEEN, PROMPT_SEEN, DIVERSITY = "agreement/style", "agreement/prompt", "diversity"
COLUMNS = (
    *("alignment/text", IMAGE, "alignment/content", "alignment/style_difference", LEAKED, AMONG),
    *("published/fidelity", "published/style_score", "published/leakage_score", STYLE_SEEN, PROMPT_SEEN, DIVERSITY),
)
"""All scores that a picture can have, in the order of the tables."""
EXPECTED = (
    "Expected 'miniature', a folder or a hub name with config, weights, tokenizer and preprocessor_config.json of "
    "a CLIP."
)
SHIPPED = Path(__file__).parents[2] / "weights" / "miniature"
_VOCABULARY = ("tokenizer.json", "vocab.json", "merges.txt")


class Verdict(NamedTuple):
    """What a judge says about some pictures."""

    values: dict[str, Tensor]
    """Tag of `COLUMNS` -> (batch,), NaN where it says nothing; rates are 0 or 1, or bool."""
    generated: Tensor | None = None
    """(batch, dim), unit features, which tell how diverse the pictures are; None where the judge cannot say."""

    def table(self) -> Tensor:
        """All values as (batch, len(COLUMNS)) float32 on the CPU, NaN where the judge says nothing."""
        size = len(next(iter(self.values.values())))
        nothing = torch.full((size,), torch.nan)
        return torch.stack([self.values.get(tag, nothing).detach().cpu().to(torch.float32) for tag in COLUMNS], dim=1)


class Judge(ABC):
    """A frozen network that looks at generated pictures; kept outside of modules, so that no checkpoint holds it.

    Args:
        model: what it is known by: "miniature", a folder, or a hub name.
        cache: folder in which features are kept from run to run; None keeps them in memory at most.
    """

    cut_texts: dict[str, int] = {}  # noqa: RUF012  # for all that read no texts
    """Texts that are longer than the judge reads, and of which it read the beginning alone -> their tokens."""

    def __init__(self, model: str, cache: str | None) -> None:
        self.model, self.cache = model, cache
        self.device = torch.device("cpu")
        self._network: Any = None
        self._store: FeatureStore | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """The judge's name beside every score."""

    def to(self, device: torch.device | str) -> Self:
        """Move the judge, now or when it is loaded, to `device`."""
        self.device = torch.device(device)
        if self._network is not None:
            self._network.to(self.device)
        return self

    @abstractmethod
    def find(self) -> Path:
        """The folder of the judge's files, which are fetched first; raises OSError where they are not to be had."""

    @abstractmethod
    def verdict(self, predicted: Predicted, contents: Sequence[str]) -> Verdict:
        """Scores of pictures, at least one; `contents` are the prompts ("A dog") among which a leak is sought."""


def find_folder(model: str, revision: str | None, with_texts: bool = True) -> Path:
    """The folder of a judge: `model` itself, or the hub's cache, where what it lacks is fetched to first.

    The network is not touched where the cache has all files, with a tokenizer `with_texts`; a branch then stays at
    the commit that it had.

    Raises:
        FileNotFoundError: `model` is neither, or the repository is not to be seen or has no weights.
        ConnectionError: files are not in the cache, and the hub cannot be reached.
        OSError: the cache cannot be written.
    """
    if Path(model).is_dir():
        return Path(model)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise FileNotFoundError(
            f"`model`: there is no folder `{model}`, and it is no hub name `owner/name`. Give a folder or a hub "
            "name of a CLIP, such as 'openai/clip-vit-base-patch32', or 'miniature'."
        )
    required = ("config.json", "preprocessor_config.json", *(_VOCABULARY if with_texts else ()))
    try:
        source = Source(False, model, revision)
        return fetch_folder(source, "scores.judge.model", weights=True, required=required, stays=True)
    except OSError as error:
        raise _explained(error, model, revision) from error


def _explained(error: OSError, repository: str, revision: str | None) -> OSError:
    """The door's error with the ways out that a judge has."""
    if error.__cause__ is None:  # the hub answered, and the repository has not what a judge needs
        return error
    at = f"`model`: the judge `{repository}`" + (f" at revision `{revision}`" if revision else "")
    reason = (str(error.__cause__).strip() or type(error.__cause__).__name__).splitlines()[0]
    if isinstance(error, ConnectionError):
        return ConnectionError(
            f"{at} is no folder and not whole in the hub's cache, and the hub cannot be reached ({reason}). Try "
            "again with a connection, copy the cache from where there was one, or give a folder."
        )
    if isinstance(error, FileNotFoundError | PermissionError):
        return FileNotFoundError(
            f"{at} is neither a folder nor on the hub for you to see ({reason}). Check the name and the "
            "revision, log in by `hf auth login` where it is private or gated, or give a folder."
        )
    return OSError(f"{at} cannot be kept in the hub's cache ({reason}). Set HF_HOME to another folder")


def identity(model: str, folder: Path) -> str:
    """Names a judge by its weights: a hub's by their commit, a folder's by the content of its files."""
    if folder.parent.name == "snapshots":  # the layout of the hub's cache
        return f"{model}@{folder.name}"
    contents = []
    for path in sorted(path for path in folder.iterdir() if path.name in READ or has_weights([path.name])):
        with open(path, "rb") as file:
            contents.append(f"{path.name} {hashlib.file_digest(file, 'blake2b').hexdigest()}")
    return f"{Path(model).name} {digest(repr(contents).encode())}"


def argument_of(name: str) -> str:
    """How errors call what names the files of a judge."""
    return f"model` of the judge `{name}"


def load_frozen(kind: str, folder: Path, name: str, expected: str) -> torch.nn.Module:
    """A class of transformers in float32 and eval mode, without gradients; refuses weights that lack any of it."""
    import transformers
    from transformers.utils import logging as told

    level = told.get_verbosity()
    told.set_verbosity_error()  # it would list the tower that is not asked for; what lacks is refused below
    try:
        load = getattr(transformers, kind).from_pretrained
        model, report = _load(load, folder, name, dtype=torch.float32, output_loading_info=True)
    finally:
        told.set_verbosity(level)
    if report["missing_keys"] or report["mismatched_keys"]:
        lacking = sorted(report["missing_keys"])[:3] + sorted(str(key) for key in report["mismatched_keys"])[:3]
        raise ValueError(
            f"`model`: the weights of the judge `{name}` do not fit CLIP; missing or of another shape: "
            f"{', '.join(lacking)}. Give a complete {expected} in transformers' format."
        )
    return model.requires_grad_(False).eval()


def load_readers(folder: Path, name: str, network: torch.nn.Module, with_texts: bool) -> tuple[Any, Any]:
    """The image processor and the tokenizer of the judge `name`, whose network it is; refuses an empty tokenizer."""
    # Named directly: the automatic choice resizes by another back end where torchvision is installed.
    from transformers import CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor = _load(CLIPImageProcessorPil.from_pretrained, folder, name)
    check_processor(processor, network, folder, argument_of(name), EXPECTED)
    if not with_texts:
        return processor, None
    tokenizer = _load(CLIPTokenizer.from_pretrained, folder, name)
    if len(tokenizer) <= 3:  # what transformers 5 makes of a folder without tokenizer files
        raise ValueError(
            f"`model`: the judge `{name}` has a tokenizer of {len(tokenizer)} tokens: expected the files "
            "of CLIP's tokenizer (`tokenizer.json`, or `vocab.json` and `merges.txt`) beside its weights."
        )
    check_tokenizer(tokenizer, network, folder, argument_of(name), EXPECTED)
    return processor, tokenizer


def _load(load: Callable[..., Any], folder: Path, name: str, **options: Any) -> Any:
    try:
        return pretrained(load, folder, argument_of(name), EXPECTED, **options)
    except OSError as error:
        text = f"`model`: the judge `{name}` cannot be loaded as CLIP ({str(error).splitlines()[0]}). {EXPECTED}"
        raise FileNotFoundError(text) from error
