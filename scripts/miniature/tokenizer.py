"""Make the miniature's tokenizer: CLIP's byte-level BPE with a vocabulary of the miniature's own captions."""

import json

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES, TRAIN_STYLES, caption

MAX_TOKENS = 32
QUALITY = "best quality, high quality"
NEGATIVE = (
    "text, watermark, lowres, low quality, worst quality, deformed, glitch, low contrast, noisy, saturation, blurry"
)


def learn_merges(corpus: list[str]) -> list[tuple[str, str]]:
    """The BPE merges (left, right) that make one token of each word of the lower-case corpus, in the order learnt."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    steps = pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(steps))
    trainer = trainers.BpeTrainer(vocab_size=4096, min_frequency=1, end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]


def make_tokenizer() -> CLIPTokenizer:
    """Build the tokenizer: any text can be written in it, the miniature's own words take one token each."""
    contents, styles = CONTENTS + PROMPT_CONTENTS, TRAIN_STYLES + TEST_STYLES
    corpus = [caption(content, style).lower() for content in contents for style in styles]
    merges = learn_merges([*corpus, QUALITY, NEGATIVE, "a photo of a picture in the style of with and on"])
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = letters + [letter + "</w>" for letter in letters] + [left + right for left, right in merges]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)
