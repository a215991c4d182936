"""The tables add up."""

import pytest

from scripts.architectures import ARCHITECTURES
from scripts.footprint import GIB, Sheet, as_markdown, main, parameters, peak_bytes, resident_bytes
from scripts.unet_work import Work
from tests.unit.scripts.small_architectures import small

COUNTS = {"unet": 100, "vae": 10, "text_encoder": 7, "ip_adapter": 5, "image_projection": 3}
WORK = Work(1, 2, 3, kept=1000, kept_checkpointed=100, recomputed=50)


def test_parameters_of_the_ip_adapter_are_those_of_the_published_file() -> None:
    counts = parameters(ARCHITECTURES["sd15"])
    assert counts["ip_adapter"] + counts["image_projection"] == 22_319_616  # 44.6 MB of 16-bit weights
    assert counts["image_projection"] == 1024 * 3072 + 3072 + 2 * 768


@pytest.mark.parametrize(("offload", "size"), [(False, 2 * 115 + 4 * 10), (True, 2 * 108)])
def test_frozen_weights_on_the_accelerator(offload: bool, size: int) -> None:
    assert resident_bytes(COUNTS, offload) == size


@pytest.mark.parametrize(("checkpointing", "a_reference"), [(False, 1000), (True, 150)])
def test_the_peak_grows_with_the_batch(checkpointing: bool, a_reference: int) -> None:
    adapter = 16 * (4 * 4 + 4 + 2 * 4)  # weight, bias and norm of D = 4
    sizes = [peak_bytes(7, WORK, 4, batch, checkpointing) for batch in (1, 3)]
    assert sizes == [7 + adapter + a_reference, 7 + adapter + 3 * a_reference]


def test_markdown() -> None:
    text = as_markdown(Sheet("Sizes", ["a", "b"], [["1", "2"]]))
    assert text == "**Sizes**\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"


@pytest.mark.parametrize("markdown", [False, True])
def test_the_command_line(markdown: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = small("sdxl")
    monkeypatch.setitem(ARCHITECTURES, "sdxl", made)
    main(["--family", "sdxl", "--batch", "1", "2", *(["--markdown"] if markdown else [])])
    shown = capsys.readouterr().out
    unet = parameters(made)["unet"]
    assert (f"| unet | {unet:,} |" in shown) == markdown
    for part in (f"{unet:,}", f"{4 * unet / GIB:.2f}", "16 x 16", "batch 2", "24, 12", "Not counted: CUDA's context"):
        assert part in shown


def test_a_wrong_resolution_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--family", "sd15", "--resolution", "500"])
    assert "`resolution` must be a multiple of 8 pixels, the step of the VAE; got 500" in capsys.readouterr().err
