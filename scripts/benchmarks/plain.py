"""The plain way, which needs nothing of this project: diffusers' pipeline, called once for a reference and a prompt.

In each call the image is encoded and masked by the exact 2-means of its products with the content word. As a program
it is the way of one process for each pair, which loads everything and draws the samples:

    python -m scripts.benchmarks.plain --model FOLDER --ip_adapter FILE --image IMAGE --content cat \\
        --prompt "A rocket" --seeds 42 43 44 45 --out FOLDER
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, UniPCMultistepScheduler
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil


class Plain:
    """A stock pipeline with its IP-Adapter and the pair of CLIP towers beside it.

    The diffusers folder has an `image_encoder` and, unless it is an SDXL, a `text_tower`.
    """

    def __init__(self, folder: Path, ip_adapter: Path, steps: int, guidance_scale: float) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.options = {"num_inference_steps": steps, "guidance_scale": guidance_scale, "negative_prompt": ""}
        self.pipe: Any = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
        self.pipe.scheduler = UniPCMultistepScheduler.from_config(self.pipe.scheduler.config)
        where = {"subfolder": "", "weight_name": ip_adapter.name, "image_encoder_folder": None}
        self.pipe.load_ip_adapter(str(ip_adapter.parent), **where)
        self.pipe.set_ip_adapter_scale(1.0)
        self.pipe.set_progress_bar_config(disable=True)
        self.pipe.to(self.device)
        vision = folder / "image_encoder"
        self.vision: Any = CLIPVisionModelWithProjection.from_pretrained(vision, dtype=torch.float32).to(self.device)
        if (vision / "preprocessor_config.json").is_file():
            self.processor = CLIPImageProcessorPil.from_pretrained(vision)
        else:
            size = self.vision.config.image_size
            self.processor = CLIPImageProcessorPil(
                size={"shortest_edge": size}, crop_size={"height": size, "width": size}
            )
        self.tower: Any = getattr(self.pipe, "text_encoder_2", None)
        self.tokenizer: Any = getattr(self.pipe, "tokenizer_2", None)
        if (tower := folder / "text_tower").is_dir():
            self.tower = CLIPTextModelWithProjection.from_pretrained(tower, dtype=torch.float32).to(self.device)
            self.tokenizer = CLIPTokenizer.from_pretrained(tower)

    @torch.no_grad()
    def __call__(self, image: Path, content: str, prompt: str, seeds: Sequence[int], out: Path) -> None:
        """Draw and save one picture for each seed, `<seed>.png` in the folder `out`."""
        feature = self._masked(Image.open(image).convert("RGB"), content)[None, None]
        pictures = self.pipe(
            prompt,
            ip_adapter_image_embeds=[torch.cat([torch.zeros_like(feature), feature])],
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            **self.options,
        ).images
        out.mkdir(parents=True, exist_ok=True)
        for seed, picture in zip(seeds, pictures, strict=True):
            picture.save(out / f"{seed}.png")

    def _masked(self, image: Image.Image, content: str) -> Tensor:
        pixels = self.processor(image, return_tensors="pt")["pixel_values"].to(self.device)
        feature: Tensor = self.vision(pixels).image_embeds[0]
        ids = self.tokenizer(
            content,
            padding="max_length",
            max_length=self.tower.config.max_position_embeddings,
            truncation=True,
            return_tensors="pt",
        )
        text = self.tower(ids["input_ids"].to(self.device)).text_embeds[0]
        products = normalize(feature.double(), dim=0) * normalize(text.double(), dim=0)
        return feature.masked_fill(in_top_cluster(products), 0)


def in_top_cluster(products: Tensor) -> Tensor:
    """Which of the scalars `(dim,)` lie in the upper of two clusters with the least sum of squares."""
    ordered = products.sort().values
    count = torch.arange(1, len(ordered), device=products.device)
    below = (ordered - ordered.mean()).cumsum(0)[:-1]
    between = below.square() / (count * (len(ordered) - count))
    return products > ordered[between.argmax()]


def main(args: Sequence[str] | None = None) -> None:
    """The command line: one pair."""
    parser = argparse.ArgumentParser("python -m scripts.benchmarks.plain", description=__doc__)
    for name in ("model", "ip_adapter", "image", "out", "content", "prompt"):
        parser.add_argument(f"--{name}", type=str if name in ("content", "prompt") else Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance_scale", type=float, default=4.0)
    options = parser.parse_args(args)
    plain = Plain(options.model, options.ip_adapter, options.steps, options.guidance_scale)
    plain(options.image, options.content, options.prompt, options.seeds, options.out)


if __name__ == "__main__":
    main()
