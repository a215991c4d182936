"""Numbers that are not finite are refused where they enter, by their names."""

from collections.abc import Iterable, Mapping
from math import isfinite


def check_numbers(**arguments: float | Iterable[float] | Mapping[str, float] | None) -> None:
    """Raise ValueError for the first argument that is, or holds, NaN or infinity; None is nothing."""
    for name, value in arguments.items():
        numbers = value.values() if isinstance(value, Mapping) else value
        for number in numbers if isinstance(numbers, Iterable) else [numbers]:
            if number is not None and not isfinite(number):
                raise ValueError(f"`{name}` must be finite, got {value}. Give a number.")
