"""The tiny Stable Diffusion in one file with the names of tensors that its authors published."""

import re
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.attentions.0": "input_blocks.1.1",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "up_blocks.0.upsamplers.0": "output_blocks.1.2",
    **{f"up_blocks.{n // 2}.resnets.{n % 2}": f"output_blocks.{n}.0" for n in range(4)},
    **{f"up_blocks.{n // 2}.attentions.{n % 2}": f"output_blocks.{n}.1" for n in range(4)},
}
_VAE = {
    r"mid_block\.attentions\.0": "mid.attn_1",
    r"mid_block\.resnets\.0": "mid.block_1",
    r"mid_block\.resnets\.1": "mid.block_2",
    r"down_blocks\.(\d)\.resnets\.(\d)": r"down.\1.block.\2",
    r"down_blocks\.(\d)\.downsamplers\.0": r"down.\1.downsample",
    r"up_blocks\.0\.resnets\.(\d)": r"up.1.block.\1",
    r"up_blocks\.1\.resnets\.(\d)": r"up.0.block.\1",
    r"up_blocks\.0\.upsamplers\.0": "up.1.upsample",
    "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
    r"group_norm": "norm",
    r"to_(q|k|v)\.": r"\1.",
    r"to_out\.0": "proj_out",
}


def write_single_file(folder: Path, file: Path) -> Path:
    """Writes the networks of the tiny backbone in `folder` into one file."""
    parts = {
        "model.diffusion_model.": {_of_unet(k): v for k, v in _weights(folder / "unet").items()},
        "first_stage_model.": dict(_of_vae(k, v) for k, v in _weights(folder / "vae").items()),
        "cond_stage_model.transformer.text_model.": {
            key.removeprefix("text_model."): tensor  # older versions of transformers write the prefix
            for key, tensor in _weights(folder / "text_encoder").items()
        },
    }
    whole = {f"{start}{key}": tensor.contiguous() for start, part in parts.items() for key, tensor in part.items()}
    save_file(whole, file)
    return file


def _weights(folder: Path) -> dict[str, Tensor]:
    return load_file(next(folder.glob("*.safetensors")))


def _of_unet(key: str) -> str:
    place = max((name for name in _OUTSIDE if key.startswith(f"{name}.")), key=len)
    rest = key.removeprefix(f"{place}.")
    if ".resnets." in f".{place}.":
        layer, _, kind = rest.rpartition(".")
        rest = f"{_RESNET[layer]}.{kind}"
    return f"{_OUTSIDE[place]}.{rest}"


def _of_vae(key: str, tensor: Tensor) -> tuple[str, Tensor]:
    if ".attentions." in key and tensor.ndim == 2:
        tensor = tensor[:, :, None, None]
    for pattern, name in _VAE.items():
        key = re.sub(pattern, name, key)
    return key, tensor
