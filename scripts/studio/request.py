"""What a page asks the studio for, and the `maskst transfer` that draws the same."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightning_modules.diffusion.config import SamplingSettings
from scripts.methods import takes_strength
from scripts.studio.desk import Desk, Upload

STRENGTH = 1.0
"""Of the shipped methods that have one."""


@dataclass(frozen=True)
class Request:
    """Each reference x prompt x sample by each method.

    Args:
        references: the pictures whose styles are transferred.
        words: what each of them shows; "" is found.
        prompts: what is drawn.
        methods: by their names in `scripts.methods`.
        samples: pictures for each reference and prompt.
        seed: of all noises.
        strength: of the methods that have one; None: that of their configs.
        sampling: keys of `SamplingSettings` that replace those of the configs.
        layouts: content images, a prompt each, for backbones with content fusion.
    """

    references: Sequence[Upload]
    words: Sequence[str]
    prompts: Sequence[str]
    methods: Sequence[str]
    samples: int = 1
    seed: int = 42
    strength: float | None = None
    sampling: tuple[tuple[str, Any], ...] = ()
    layouts: Sequence[Upload] = ()

    def command(self, further: Sequence[str] = ()) -> str:
        """The equal command line; `further` are arguments that the studio itself was started with."""
        words = self.words[:1] if len(set(self.words)) == 1 else self.words
        told: list[tuple[str, Any]] = [("prompt", prompt) for prompt in self.prompts]
        told += [("content", word) for word in words] if all(words) else []
        told += [("method", method) for method in self.methods]
        told += [("samples", self.samples), ("seed", self.seed)]
        if self.strength is not None and any(map(takes_strength, self.methods)):
            told += [("strength", f"{self.strength:g}")]
        told += [(key if key == "scale" else f"model.sampling.{key}", value) for key, value in self.sampling]
        told += [("data.content_images", "FOLDER")] if self.layouts else []
        asked = ["maskst", "transfer", *(upload.name for upload in self.references)]
        for name, value in told:
            asked += [f"--{name}", str(value)] if not str(value).startswith("-") else [f"--{name}={value}"]
        return shlex.join([*asked, *further])


def asked(
    desk: Desk,
    configured: SamplingSettings,
    prompts: str,
    methods: Sequence[str],
    samples: float | None,
    seed: float | None,
    steps: float | None,
    guidance: float | None,
    scale: float,
    strength: float,
    target: str | None,
    *words: str,
) -> Request:
    """What the settings of a page come to; those that are as `configured` are not asked for.

    Raises:
        ValueError: there is no reference, prompt or method, or a number is none.
    """
    if not desk.references:
        raise ValueError("There is no picture yet: bring one or more whose style shall be transferred.")
    lines = [line.strip() for line in prompts.splitlines() if line.strip()]
    if not lines:
        raise ValueError("There is no prompt: say what shall be drawn, such as “A rocket”.")
    if not methods:
        raise ValueError("No method is chosen: choose one, or several to compare them.")
    sampling = {"steps": _whole("Steps", steps), "guidance_scale": guidance, "scale": scale, "target_blocks": target}
    changed = {name: value for name, value in sampling.items() if value not in (None, getattr(configured, name))}
    found = [desk.found.get(upload.digest, "") for upload in desk.references]
    given = [word.strip() or known for word, known in zip(words, found, strict=False)]
    return Request(
        references=list(desk.references),
        words=[""] * len(found) if given == found else given,
        prompts=list(dict.fromkeys(lines)),
        methods=methods,
        samples=_whole("Samples", samples),
        seed=_whole("Seed", seed),
        strength=None if strength == STRENGTH else strength,
        sampling=tuple(changed.items()),
        layouts=list(desk.layouts),
    )


def _whole(name: str, value: float | None) -> int:
    if value is None or value != int(value):
        raise ValueError(f"“{name}” is a whole number and was {value}.")
    return int(value)
