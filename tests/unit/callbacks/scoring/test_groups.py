"""Groups of pictures by method and settings, and what they are called."""

from typing import Any

from callbacks.scoring.groups import groups_of, siblings_of
from datamodules.batches import Prediction


def prediction(method: str, settings: dict[str, Any], prompt: str = "A dog", **others: Any) -> Prediction:
    return Prediction("p.png", method, "k", "k.png", "cat", "", prompt, 0, None, None, settings)._replace(**others)


def named(*settings: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    groups, _ = groups_of([prediction("m", each) for each in settings])
    return [(group.setting, group.varied) for group in groups]


def test_groups_in_the_order_of_their_first_pictures() -> None:
    weak, strong = ({"condition": {"strength": s}, "sampling": {"steps": 3, "scale": 1.0}} for s in (0.2, 0.4))
    pictures = [prediction(*p) for p in [("b", strong), ("a", weak), ("b", weak), ("b", strong), ("a", dict(weak))]]
    groups, numbers = groups_of(pictures)
    assert numbers == [0, 1, 2, 0, 1]
    assert groups == [
        ("b", "strength 0.4", {"condition.strength": 0.4}, 2, strong, None),
        ("a", "", {}, 2, weak, None),
        ("b", "strength 0.2", {"condition.strength": 0.2}, 1, weak, None),
    ]


def test_what_tells_groups_apart() -> None:
    assert named({"a": {"b": True, "c": [1, 2]}, "d": None}, {"a": {"b": False, "c": [1]}, "d": "x"}) == [
        ("b true, c [1, 2], d null", {"a.b": "true", "a.c": "[1, 2]", "d": "null"}),
        ("b false, c [1], d x", {"a.b": "false", "a.c": "[1]", "d": "x"}),
    ]
    some = named({"a": 1, "b": 2}, {"a": 1}, {"a": 2})
    assert some == [("a 1, b 2", {"a": 1, "b": 2}), ("a 1", {"a": 1}), ("a 2", {"a": 2})]
    # The same number, written otherwise, is the same.
    assert named({"a": {"b": 1}, "c": 2, "d": {}}, {"c": 2.0, "a": {"b": 1.0}}) == [("", {})]


def test_labels_that_would_be_the_same_have_whole_keys() -> None:
    assert [label for label, _ in named({"x": {"a": 1}}, {"y": {"a": 1}})] == ["x.a 1", "y.a 1"]
    both = [label for label, _ in named({"x": {"a": 1}, "y": {"a": 2}}, {"x": {"a": 2}, "y": {"a": 2}})]
    assert both == ["a 1", "a 2"]


def test_siblings_are_of_one_job() -> None:
    first = prediction("m", {"a": 1})
    others = {"seed": 2, "sample": 1}, {"prompt": "A cat"}, {"reference_key": "l"}, {"content_image": "c"}
    pictures = [
        first,
        *(first._replace(**each) for each in others),
        prediction("m", {"a": 2}),
        prediction("n", {"a": 1}),
    ]
    assert siblings_of(pictures) == [0, 0, 1, 2, 3, 4, 5]
    assert groups_of([]) == ([], [])
