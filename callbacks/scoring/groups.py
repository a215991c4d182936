"""Which pictures belong together, those of one method in one setting or the samples of one job; and their titles."""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from lightning_modules.outputs import Prediction

Setting = int | float | str
TITLES = {
    "ip_adapter": "IP-Adapter",
    "instantstyle": "InstantStyle",
    "masking": "Masking",
    "quantile_masking": "Quantile masking",
    "image_adapter": "Image-Adapter",
    "text_adapter": "Text-Adapter",
    "styleshot": "StyleShot",
}
"""How tables, figures and sentences call the methods."""
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


def title_of(method: str) -> str:
    """How a table calls a method: "Masking"; with what its name has besides: "Masking (contour)"."""
    for name in sorted(TITLES, key=len, reverse=True):
        if method == name or method.startswith(f"{name}_"):
            rest = method.removeprefix(name).replace("_", " ").strip()
            return f"{TITLES[name]} ({rest})" if rest else TITLES[name]
    return method


def groups_of(predictions: Sequence[Prediction], step: int | None = None) -> tuple[list[Group], list[int]]:
    """The groups, in the order of their first pictures, and the number of each picture's group."""
    numbers = _numbered(map(_key, predictions))
    firsts = [predictions[numbers.index(number)] for number in range(len(set(numbers)))]
    plain, counts = [_plain(first.settings) for first in firsts], Counter(numbers)
    groups = []
    for number, (first, mine) in enumerate(zip(firsts, plain, strict=True)):
        others = [other for each, other in zip(firsts, plain, strict=True) if each.method == first.method]
        varied = {key: value for key, value in mine.items() if any(other.get(key) != value for other in others)}
        label = _label({key.rpartition(".")[-1]: value for key, value in varied.items()})
        groups.append(Group(first.method, label, varied, counts[number], first.settings, step))
    # Labels that would be the same have whole keys.
    same = Counter((group.method, group.setting) for group in groups)
    whole = [group._replace(setting=_label(group.varied)) for group in groups]
    return [w if same[g.method, g.setting] > 1 else g for g, w in zip(groups, whole, strict=True)], numbers


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted key."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return found


def siblings_of(predictions: Sequence[Prediction]) -> list[int]:
    """A number for each picture, the same for samples of one group, reference, prompt and content image."""
    return _numbered((_key(p), p.reference_key, p.prompt, p.content_image) for p in predictions)


def _numbered(keys: Iterable[Hashable]) -> list[int]:
    """0, 1, ... for the different keys, in the order in which they come first."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _key(prediction: Prediction) -> Hashable:
    return prediction.method, tuple(sorted(_plain(prediction.settings).items()))


def _plain(settings: dict[str, Any]) -> dict[str, Setting]:
    """Settings by dotted key; what is neither number nor text as its JSON."""
    told = {key: value for key, value in flat(settings).items() if value != {}}
    return {key: v if type(v) in (int, float, str) else json.dumps(v, sort_keys=True) for key, v in told.items()}


def _label(varied: dict[str, Setting]) -> str:
    """Of a long text, such as a fingerprint of weights or a path, the end."""
    texts = {key: str(value) for key, value in varied.items()}
    return ", ".join(f"{key} {t if len(t) <= _LONGEST else f'…{t[-_LONGEST // 2 :]}'}" for key, t in texts.items())
