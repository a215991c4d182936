"""The settings of each method as curves: along one setting, a curve for each value of the others."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from callbacks.scoring.scored import Group

ALONG = ("strength", "theta", "scale")  # a curve runs along the first of these that its method varies
_SYMBOLS = {"strength": "λ", "theta": "θ"}


class Curve(NamedTuple):
    """Settings of one method that differ in one number; or its only setting."""

    method: str
    groups: list[Group]  # by that number, falling
    along: str  # "strength"; "" for a single setting
    series: str  # the settings that they share: "scale 0.6"; "" where the method has one curve
    opacity: float  # falls from curve to curve where they differ in a number
    dashed: bool  # all but the first, where they differ in a word

    def label(self, group: Group) -> str:
        """How a figure calls one point: "λ 0.2"."""
        values = {_last(key): value for key, value in group.varied.items()}
        return f"{symbol(self.along)} {values[self.along]}" if self.along else ""


def curves(groups: Sequence[Group]) -> list[Curve]:
    """All curves, methods in the order of `groups`, the largest number of a family first."""
    methods: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        methods[group.method].append(group)
    return [curve for members in methods.values() for curve in _of_method(members)]


def symbol(name: str) -> str:
    """A setting as the papers write it: "λ" for strength, "θ" for theta, else its name."""
    return _SYMBOLS.get(name, name)


def is_number(value: object) -> bool:
    """Whether a setting is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _of_method(groups: Sequence[Group]) -> list[Curve]:
    along = _along(groups)
    families: dict[tuple[tuple[str, object], ...], list[Group]] = defaultdict(list)
    for group in groups:
        families[tuple((key, value) for key, value in group.varied.items() if key != along)].append(group)
    words = [tuple(value for _, value in rest if not is_number(value)) for rest in families]
    numbers = [tuple(value for _, value in rest if is_number(value)) for rest in families]
    fading = sorted(set(numbers), reverse=True)
    found = []
    for rest, word, number in zip(families, words, numbers, strict=True):
        members = sorted(families[rest], key=lambda group: group.varied.get(along, 0), reverse=True)
        series = ", ".join(f"{symbol(_last(key))} {_short(value)}" for key, value in rest)
        opacity = 1 - 0.6 * fading.index(number) / max(len(fading) - 1, 1)
        found.append(Curve(members[0].method, members, _last(along), series, opacity, word != words[0]))
    return sorted(found, key=lambda curve: (curve.dashed, -curve.opacity))


def _along(groups: Sequence[Group]) -> str:
    """The dotted key of the number that the method's curves run along; "" without any."""
    keys = [key for key in groups[0].varied if all(is_number(group.varied.get(key)) for group in groups)]
    ranked = sorted(keys, key=lambda key: ALONG.index(_last(key)) if _last(key) in ALONG else len(ALONG))
    return ranked[0] if ranked else ""


def _short(value: object) -> str:
    """The end of a long text, such as a fingerprint."""
    text = str(value)
    return text if len(text) <= 12 else f"…{text[-6:]}"


def _last(key: str) -> str:
    return key.rpartition(".")[2]
