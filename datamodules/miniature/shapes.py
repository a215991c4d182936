"""The fifteen contents by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from datamodules.miniature import animals, machines, things
from datamodules.miniature.geometry import Part, place

SHAPES: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    "airplane": machines.airplane,
    "automobile": machines.automobile,
    "bird": animals.bird,
    "cat": animals.cat,
    "deer": animals.deer,
    "dog": animals.dog,
    "frog": animals.frog,
    "horse": animals.horse,
    "ship": machines.ship,
    "truck": machines.truck,
    "bench": things.bench,
    "human": things.human,
    "laptop": machines.laptop,
    "rocket": machines.rocket,
    "flower": things.flower,
}


def shape(content: str, rng: np.random.Generator) -> list[Part]:
    """The parts of one drawing of `content`, posed in the 64 x 64 frame; ValueError on an unknown name."""
    if content not in SHAPES:
        raise ValueError(
            f"`content` must be one of {', '.join(SHAPES)}; got {content!r}. "
            "Draw it as a function of a generator and add it to `SHAPES`."
        )
    return place(SHAPES[content](rng), rng)
