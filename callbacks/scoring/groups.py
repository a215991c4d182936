"""Which pictures belong together: those of one method in one setting, and the samples of one job."""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from callbacks.scoring.titles import title_of
from lightning_modules.outputs import Prediction

Setting = int | float | str
_LONGEST = 24  # characters of a value in a label


class Group(NamedTuple):
    """The pictures of one method in one setting, and where it is trained, at one step."""

    method: str
    setting: str
    """What tells the group from others of its method: "strength 0.2, scale 0.4"; "" for a method's only one."""
    varied: dict[str, Setting]
    """Dotted key -> value of the settings in which the groups of the method differ."""
    pictures: int
    settings: dict[str, Any]
    """All that decided its pictures; empty where a table named them."""
    step: int | None = None
    """Training step that the pictures are of; None where none is told."""

    @property
    def title(self) -> str:
        """How a table calls it: "InstantStyle, strength 0.2, scale 0.4"."""
        return ", ".join(filter(None, (title_of(self.method), self.setting)))


def groups_of(predictions: Sequence[Prediction], step: int | None = None) -> tuple[list[Group], list[int]]:
    """The groups, in the order of their first pictures, and the number of each picture's group."""
    numbers = _numbered(map(_key, predictions))
    firsts = [predictions[numbers.index(number)] for number in range(len(set(numbers)))]
    flats, counts = [_flat(first.settings) for first in firsts], Counter(numbers)
    groups = []
    for number, (first, flat) in enumerate(zip(firsts, flats, strict=True)):
        others = [other for each, other in zip(firsts, flats, strict=True) if each.method == first.method]
        varied = {key: value for key, value in flat.items() if any(other.get(key) != value for other in others)}
        label = _label({key.rpartition(".")[-1]: varied[key] for key in varied})
        groups.append(Group(first.method, label, varied, counts[number], first.settings, step))
    return _told_apart(groups), numbers


def siblings_of(predictions: Sequence[Prediction]) -> list[int]:
    """A number for each picture, the same for samples of one group, reference, prompt and content image."""
    return _numbered((_key(p), p.reference_key, p.prompt, p.content_image) for p in predictions)


def _numbered(keys: Iterable[Hashable]) -> list[int]:
    """0, 1, ... for the different keys, in the order in which they come first."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _key(prediction: Prediction) -> Hashable:
    return prediction.method, tuple(sorted(_flat(prediction.settings).items()))


def _flat(settings: dict[str, Any]) -> dict[str, Setting]:
    return dict(_items(settings, ""))


def _items(settings: dict[str, Any], prefix: str) -> Iterator[tuple[str, Setting]]:
    """Settings by dotted key; what is neither number nor text as its JSON."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _items(value, f"{prefix}{key}.")
        else:
            is_plain = isinstance(value, int | float | str) and not isinstance(value, bool)
            yield f"{prefix}{key}", value if is_plain else json.dumps(value, sort_keys=True)


def _label(varied: dict[str, Setting]) -> str:
    return ", ".join(f"{key} {_shortened(value)}" for key, value in varied.items())


def _shortened(value: Setting) -> str:
    """Of a long text, such as a fingerprint of weights or a path, the end."""
    text = str(value)
    return text if len(text) <= _LONGEST else f"…{text[-_LONGEST // 2 :]}"


def _told_apart(groups: list[Group]) -> list[Group]:
    """With whole keys in the labels that would be the same with their last parts alone."""
    counts = Counter((group.method, group.setting) for group in groups)
    return [
        group if counts[group.method, group.setting] == 1 else group._replace(setting=_label(group.varied))
        for group in groups
    ]
