"""A studio of the shipped miniature that draws in two steps, and pictures to bring to it."""

from io import BytesIO

import pytest
from PIL import Image

from callbacks.scoring.clip_judge import ClipJudge
from datamodules.miniature.drawing import draw
from lightning_modules.conditions import IPAdapter
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.style_transfer import StyleTransfer
from scripts.studio.desk import Upload, png, received
from scripts.studio.session import Studio
from tests.fitting import trainer
