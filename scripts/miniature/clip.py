"""Train a small CLIP on the drawn images: the one that conditions, or the judge (another seed and another shape)."""

import argparse
import logging

import torch
from lightning import seed_everything
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from datamodules.vocabulary import caption, content_prompt
from scripts.miniature.images import (
    ALL_CONTENTS,
    ALL_STYLES,
    FRESH_SEED,
    TRAINING_SEED,
    Drawn,
    augment,
    drawn_images,
    to_unit_range,
)
from scripts.miniature.tokenizer import MAX_TOKENS, make_tokenizer
from scripts.miniature.training import Stage, options, train
from scripts.stopping import stoppable

EASY_STYLES = ["line art", "realism", "snowy day", "statue"]
SHAPES = {
    "conditioning": {"width": 192, "layers": 4, "patch": 16, "dim": 256, "text_width": 128},
    "judge": {"width": 224, "layers": 3, "patch": 16, "dim": 192, "text_width": 96},
}


def new_clip(width: int, layers: int, patch: int, dim: int, text_width: int) -> CLIPModel:
    """A CLIP with random weights: a vision tower for 64 x 64 images and a text tower of two layers."""
    tokenizer = make_tokenizer()
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=text_width,
        intermediate_size=4 * text_width,
        projection_dim=dim,
        num_hidden_layers=2,
        num_attention_heads=text_width // 32,
        max_position_embeddings=MAX_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
        **ends,
    )
    vision = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=dim,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        image_size=64,
        patch_size=patch,
    )
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=dim))


class ClipStage(Stage):
    """Contrast of each image with all contents, all styles, and the pairs of its batch."""

    def __init__(self, arguments: argparse.Namespace, drawn: Drawn, clip: CLIPModel) -> None:
        super().__init__(arguments)
        self.clip, self.drawn, self.tokenizer = clip, drawn, make_tokenizer()

    def texts(self, texts: list[str]) -> Tensor:
        """Unit text features ``(len(texts), dim)``."""
        tokens = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        return F.normalize(self.clip.get_text_features(**tokens).pooler_output.float(), dim=-1)

    def images(self, images: Tensor) -> Tensor:
        """Unit image features ``(n, dim)`` of images in [-1, 1]."""
        return F.normalize(self.clip.get_image_features(pixel_values=images).pooler_output.float(), dim=-1)

    def easier(self, rows: Tensor) -> Tensor:
        """Curriculum: early steps see few styles, clean ones first, so that shapes are learnt before disguises."""
        order = [ALL_STYLES.index(style) for style in EASY_STYLES]
        order += [style for style in range(len(ALL_STYLES)) if style not in order]
        styles = self.drawn.styles[rows]
        progress = min(1.0, self.global_step / (0.25 * self.steps))
        count = round(len(EASY_STYLES) + progress * (len(order) - len(EASY_STYLES)))
        per_pair = len(self.drawn.styles) // (len(ALL_CONTENTS) * len(ALL_STYLES))
        return rows + (torch.tensor(order)[styles % count] - styles) * per_pair

    def training_step(self, rows: Tensor) -> Tensor:
        chance = self.noise_source()
        rows = self.easier(rows)
        images = augment(to_unit_range(self.drawn.images[rows.numpy()]), chance)
        contents, styles = self.drawn.contents[rows], self.drawn.styles[rows]
        bare = bool(torch.rand((), generator=chance) < 0.25)  # "dog" beside "A dog", "lego toy" beside "lego toy style"
        all_contents = [c if bare else content_prompt(c) for c in ALL_CONTENTS]
        all_styles = [s if bare else f"{s} style" for s in ALL_STYLES]
        pairs = [caption(ALL_CONTENTS[c], ALL_STYLES[s]) for c, s in zip(contents[:32], styles[:32], strict=True)]
        features, texts = self.images(images), self.texts(all_contents + all_styles + pairs)
        logits = self.clip.logit_scale.exp().clamp(max=100) * features @ texts.T
        content, style, pair = logits.split([len(all_contents), len(all_styles), len(pairs)], dim=1)
        same = (contents[:32, None] == contents[:32]) & (styles[:32, None] == styles[:32])
        losses = {
            "content": F.cross_entropy(content, contents),
            "style": F.cross_entropy(style, styles),
            "pair": F.cross_entropy(pair[:32], same.float() / same.sum(dim=1, keepdim=True)),
            "content_accuracy": (content.argmax(dim=1) == contents).float().mean(),
            "style_accuracy": (style.argmax(dim=1) == styles).float().mean(),
        }
        self.log_dict(losses, prog_bar=True)
        return losses["content"] + 0.5 * losses["style"] + 0.5 * losses["pair"]


@torch.no_grad()
def accuracy(stage: ClipStage, drawn: Drawn) -> tuple[float, float]:
    """Zero-shot accuracy (content, style) on images that were not trained on."""
    features = torch.cat(
        [stage.images(to_unit_range(drawn.images[i : i + 300])) for i in range(0, len(drawn.images), 300)]
    )
    content = (features @ stage.texts([content_prompt(c) for c in ALL_CONTENTS]).T).argmax(dim=1)
    style = (features @ stage.texts([f"{s} style" for s in ALL_STYLES]).T).argmax(dim=1)
    return float((content == drawn.contents).float().mean()), float((style == drawn.styles).float().mean())


def processor() -> CLIPImageProcessorPil:
    """The pre-processing that the networks were trained with: 64 px, values in [-1, 1]."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def save_towers(clip: CLIPModel, arguments: argparse.Namespace) -> None:
    """Write the two towers as Stable Diffusion's users know them: an image encoder and its paired text tower."""
    vision = CLIPVisionModelWithProjection(clip.config.vision_config)
    text = CLIPTextModelWithProjection(clip.config.text_config)
    vision.load_state_dict({k: v for k, v in clip.state_dict().items() if k.startswith("vis")}, strict=False)
    text.load_state_dict({k: v for k, v in clip.state_dict().items() if k.startswith("text")}, strict=False)
    vision.half().save_pretrained(arguments.weights / "image_encoder")
    processor().save_pretrained(arguments.weights / "image_encoder")
    text.half().save_pretrained(arguments.weights / "text_tower")
    make_tokenizer().save_pretrained(arguments.weights / "text_tower")


def main() -> None:
    parser = options(__doc__ or "", steps=3000, batch_size=128, lr=1e-3)
    parser.add_argument("--which", choices=sorted(SHAPES), default="conditioning", help="which of the two CLIPs")
    arguments = parser.parse_args()
    arguments.seed += arguments.which == "judge"  # no model marks its own work
    seed_everything(arguments.seed)
    drawn = drawn_images(arguments.work, arguments.per_pair, TRAINING_SEED)
    stage = ClipStage(arguments, drawn, new_clip(**SHAPES[arguments.which]))
    train(stage, arguments, len(drawn.images), f"clip-{arguments.which}")
    content, style = accuracy(stage.eval(), drawn_images(arguments.work, 10, FRESH_SEED))
    logging.getLogger(__name__).info("zero-shot on fresh images: content %.3f, style %.3f", content, style)
    if arguments.which == "judge":
        stage.clip.half().save_pretrained(arguments.weights / "judge")
        processor().save_pretrained(arguments.weights / "judge")
        make_tokenizer().save_pretrained(arguments.weights / "judge")
    else:
        save_towers(stage.clip, arguments)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with stoppable():
        main()
