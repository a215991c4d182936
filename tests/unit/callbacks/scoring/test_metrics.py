"""What a judge says of pictures: brought together over ranks as on one, and nothing of a network inside."""

import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch.nn.functional import normalize

from callbacks.scoring.judge import COLUMNS, Verdict
from callbacks.scoring.metrics import Said, Verdicts

SCORES, FEATURES = torch.rand(40, generator=torch.Generator().manual_seed(0)), normalize(torch.eye(40)[:, :6] + 1)


def fed(rows: torch.Tensor, with_features: bool = True) -> Verdicts:
    """A metric that has heard of some rows in batches."""
    metric = Verdicts()
    for part in rows.split(7) if len(rows) else ():
        metric.update(Verdict({"alignment/text": SCORES[part]}, FEATURES[part] if with_features else None))
    return metric


def same(one: Said, other: Said) -> bool:
    return all(torch.equal(a.nan_to_num(-9), b.nan_to_num(-9)) for a, b in zip(one, other, strict=True))


def test_every_score_stands_in_its_column_and_nothing_elsewhere() -> None:
    found = fed(torch.arange(40)).compute()
    assert torch.equal(found.scores[:, COLUMNS.index("alignment/text")], SCORES)
    assert int(found.scores.isnan().sum()) == 40 * (len(COLUMNS) - 1)
    assert torch.equal(found.generated, FEATURES)
    assert fed(torch.arange(40), with_features=False).compute().generated.shape == (40, 0)


def test_two_halves_merge_into_the_whole_and_nothing_is_saved() -> None:
    one, other = fed(torch.arange(20, 40)), fed(torch.arange(20))
    one.merge_state(other)
    assert same(one.compute(), fed(torch.arange(40)).compute())
    assert one.state_dict() == {}


def _rank(rank: int, folder: str, pictures: tuple[int, ...]) -> None:
    world = {"rank": rank, "world_size": len(pictures)}
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", **world)
    torch.save(tuple(fed(torch.arange(40).split(pictures)[rank]).compute()), Path(folder, f"{rank}.pt"))
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
        assert same(Said(*torch.load(tmp_path / f"{rank}.pt")), fed(torch.arange(40)).compute())
