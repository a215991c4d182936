"""Metrics: the same value for any split, synced over ranks, and nothing of CLIP inside."""

import json
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.functional import normalize

from callbacks.scoring import bootstrap as intervals
from callbacks.scoring import functional as scores
from callbacks.scoring import metrics
from callbacks.scoring.functional import UnitFeatures
from callbacks.scoring.metrics import Estimate, FeatureScore, LeakRateAmong, MeanOverReferences
from tests.float64 import FEW_ROUNDINGS

SIMPLE = [
    (metrics.TextAlignment, scores.text_alignment),
    (metrics.ImageAlignment, scores.image_alignment),
    (metrics.ContentAlignment, scores.content_alignment),
    (metrics.StyleDifference, scores.difference_to_content),
    (metrics.LeakRate, scores.leaked),
    (metrics.Fidelity, lambda features: ~scores.leaked(features)),
    (metrics.StyleScore, scores.style_score),
    (metrics.LeakageScore, scores.leakage_score),
]


def samples(rows: int = 40) -> tuple[UnitFeatures, Tensor]:
    generator = torch.Generator().manual_seed(0)
    parts = (normalize(torch.randn(rows, 6, generator=generator), dim=-1) for _ in range(4))
    return UnitFeatures(*parts), torch.randint(0, 8, (rows,), generator=generator)


def add(metric: FeatureScore, rows: Tensor) -> FeatureScore:
    features, references = samples()
    for part in rows.split(7):
        metric.update(UnitFeatures(*(x[part] for x in features)), references[part])
    return metric


def feed(metric: FeatureScore, rows: Tensor) -> Estimate:
    return add(metric, rows).compute()


@pytest.mark.parametrize(("kind", "function"), SIMPLE)
def test_each_metric_is_the_mean_of_its_score(kind: type[FeatureScore], function: object) -> None:
    features, references = samples()
    estimate = feed(kind(), torch.arange(40))
    values = function(features).float()  # type: ignore[operator]
    assert estimate.mean == pytest.approx(values.mean().item(), abs=FEW_ROUNDINGS)
    means = intervals.reference_means(values, references)
    assert (estimate.low, estimate.high) == intervals.bootstrap_interval(means)
    assert estimate.references == means.references.tolist()
    assert estimate.means == means.means.tolist()
    assert sum(estimate.counts) == 40


def test_order_and_batches_do_not_matter_to_the_last_bit() -> None:
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    one, other = MeanOverReferences(), MeanOverReferences()
    features, references = samples()
    values = scores.leakage_score(features)
    one.update(values, references)
    for row in shuffled:
        other.update(values[row : row + 1], references[row : row + 1])
    assert one.compute() == other.compute()


def test_leak_among_contents() -> None:
    features, _ = samples()
    estimate = feed(LeakRateAmong(features.content[:5]), torch.arange(40))
    assert estimate.mean == pytest.approx(scores.leaked_among(features, features.content[:5]).double().mean().item())


def test_two_halves_merge_into_the_whole() -> None:
    one = add(metrics.TextAlignment(), torch.arange(0, 40, 2))
    other = add(metrics.TextAlignment(), torch.arange(1, 40, 2))
    one.merge_state(other)
    assert one.compute() == feed(metrics.TextAlignment(), torch.arange(40))


def test_one_reference_stays_a_list() -> None:
    metric = MeanOverReferences()
    metric.update(torch.tensor([0.25]), torch.tensor([3]))
    assert metric.compute() == Estimate(0.25, 0.25, 0.25, [3], [0.25], [1])


def test_update_refuses_values_without_references() -> None:
    with pytest.raises(ValueError, match=r"`values` and `references` must both have shape \(batch,\), got \(2,\)"):
        MeanOverReferences().update(torch.ones(2), torch.ones(3))


def test_indices_must_be_exact_in_float32() -> None:
    with pytest.raises(
        ValueError, match="`references` must be whole numbers below 16777216, got 16777216: number them"
    ):
        MeanOverReferences().update(torch.ones(1), torch.tensor([2**24]))


def test_metrics_save_nothing() -> None:
    assert LeakRateAmong(torch.eye(3)).state_dict() == {}


def all_metrics(rows: Tensor) -> dict[str, Estimate]:
    """Every metric, fed with some rows in batches."""
    features, references = samples()
    kinds: dict[str, FeatureScore] = {kind.__name__: kind() for kind, _ in SIMPLE}
    kinds["Among"] = LeakRateAmong(features.content[:5])
    for part in rows.split(7):
        for metric in kinds.values():
            metric.update(UnitFeatures(*(x[part] for x in features)), references[part])
    return {name: metric.compute() for name, metric in kinds.items()}


def _rank(rank: int, folder: str, pictures: tuple[int, ...]) -> None:
    world = {"rank": rank, "world_size": len(pictures)}
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", **world)
    estimates = all_metrics(torch.arange(40).split(pictures)[rank])
    Path(folder, f"{rank}.json").write_text(json.dumps(estimates))
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
@pytest.mark.parametrize("pictures", [(27, 13), (25, 15, 0)])
def test_uneven_ranks_even_one_without_pictures_agree_with_one_process(
    tmp_path: Path, pictures: tuple[int, ...]
) -> None:
    # Spawning would import torch anew.
    mp.start_processes(_rank, args=(str(tmp_path), pictures), nprocs=len(pictures), start_method="fork")
    for rank in range(len(pictures)):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        for name, expected in all_metrics(torch.arange(40)).items():
            *numbers, references, means, counts = found[name]
            assert numbers == pytest.approx(expected[:3], abs=1e-12), name
            assert means == pytest.approx(expected.means, abs=1e-12), name
            assert (references, counts) == (expected.references, expected.counts)
