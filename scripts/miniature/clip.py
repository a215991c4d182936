"""Train a small CLIP on the drawn images: the one that conditions, or the judge (another seed and another shape)."""

import argparse

import torch
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
from scripts.miniature.tokenizer import MAX_TOKENS, make_tokenizer
from scripts.miniature.training import ALL_CONTENTS, ALL_STYLES, Stage, augment, run, save_folder, to_unit_range

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

    steps, batch_size, lr = 3000, 128, 1e-3

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        self.clip, self.tokenizer = new_clip(**SHAPES[arguments.which]), make_tokenizer()
        self.which = arguments.which

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--which", choices=sorted(SHAPES), default="conditioning", help="which of the two CLIPs")

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
    def save(self) -> None:
        """The judge as a whole; else its towers as Stable Diffusion's users know them, which are a pair."""
        names = [content_prompt(content) for content in ALL_CONTENTS], [f"{style} style" for style in ALL_STYLES]
        content, style = map(self.texts, names)
        self.tell_accuracy(lambda images: (self.images(images) @ content.T, self.images(images) @ style.T))
        if self.which == "judge":
            save_folder(self.weights / "judge", self.clip.half(), processor(), make_tokenizer())
            return
        vision = CLIPVisionModelWithProjection(self.clip.config.vision_config)
        text = CLIPTextModelWithProjection(self.clip.config.text_config)
        for tower, prefix in ((vision, "vis"), (text, "text")):
            state = {key: value for key, value in self.clip.state_dict().items() if key.startswith(prefix)}
            tower.load_state_dict(state, strict=False)
        save_folder(self.weights / "image_encoder", vision.half(), processor())
        save_folder(self.weights / "text_tower", text.half(), make_tokenizer())


def processor() -> CLIPImageProcessorPil:
    """The pre-processing that the networks were trained with: 64 px, values in [-1, 1]."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


if __name__ == "__main__":
    run(ClipStage, "clip-{which}", __doc__)
