"""From a base, data and options to a task that is ready to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ....core import runtime
from ....core.adapters import Method, apply, learn_rows, row_tensors
from ....core.errors import UserError
from ....core.precision import after_method, as_stored, before_method
from ....core.task import Prepared, Split, Splits
from .. import finetuned, tokens
from ..chat import Encoded
from ..conversation import Conversation, Preference
from ..data import Collection, collect
from ..extend import extend, extend_network
from ..finetuned import Chatter
from ..packing import Packed, collate
from .learning import Lazy, Learner, Pair, Row
from .options import FinetuneOptions

KINDS = {"chat": "chat", "text": "document", "dpo": "preference"}
ENGLISH, PREFERENCES = "alpaca_en_demo", "dpo_zh_demo"
RESERVED = 10
"""Spare rows that stay free, for a pad token and marks of turns."""
CHARACTERS_PER_ROW = 2000
"""Text that a new row needs. With a sixteenth of it, 2,048 new rows left SmolLM2 at 4.7 bits a character after an epoch
that took the old vocabulary to 3.5: the bytes of a character are guessed one by one, a new token all at once."""
EPOCHS = 2
RATES = {"full": 5e-5, "freeze": 1e-4, "lora": 1e-3, "dora": 1e-3, "qlora": 1e-3, "ia3": 1e-2, "bottleneck": 1e-3}
"""Peak learning rates by method; for prompts and prefixes 3e-2."""


def prepare(cls: Any, options: FinetuneOptions, *, data: str, checkpoint: str | None) -> Prepared:
    """The task, its data as rows of tokens, and the options with everything open decided."""
    if options.objective == "dpo" and data == cls.card.data:
        data = PREFERENCES
    with as_stored():
        chatter = _start(cls, options, checkpoint)
    collection = collect(data, kind=KINDS[options.objective])  # pyright: ignore[reportArgumentType]
    options = _decide(options, chatter, collection)
    half = options.precision == "bf16"
    before_method(chatter.network, options.method, half=half)
    chosen = [*collection.notices]
    rows = torch.empty(0, dtype=torch.long)
    if options.rows and chatter.method is None:
        told, rows = _extend(chatter, collection, options)
        chosen.append(told)
    torch.manual_seed(options.seed)  # adapters begin at random
    method = chatter.method or _method(options)
    if chatter.method is None:
        apply(chatter.network, method)
        if options.vocabulary == "data":
            rows = torch.cat([_foreign(chatter, collection), rows]).unique()
    if len(rows):
        learn_rows(chatter.network, rows)
    chatter.method = method
    after_method(chatter.network, method.kind, half=half)
    chatter.network.decoder.checkpointing = options.checkpointing
    task = cls(chatter)
    task.learner = Learner(chatter.network, bf16=half, beta=options.beta)
    splits, notices = _splits(task, collection, options)
    learnt = sum(value.numel() for value in chatter.network.parameters() if value.requires_grad)
    chosen += [*notices, _in_words(options, method, chatter, learnt)]
    return Prepared(task=task, splits=splits, options=options, chosen=tuple(chosen))


# -- what to start from -----------------------------------------------------------------------------------------------


def _start(cls: Any, options: FinetuneOptions, checkpoint: str | None) -> Chatter:
    """The base, or the checkpoint whose adapter learns on; preferences need one that can chat."""
    if checkpoint and options.base:
        raise UserError("--base and --checkpoint both say what to start from.", "Leave one of them out.")
    if checkpoint is None and options.objective == "dpo" and not options.base:
        checkpoint = cls.card.checkpoint
    if checkpoint:
        chatter = finetuned.load(cls.card, checkpoint, merge=False)
        if chatter.method is not None and chatter.method.kind in ("full", "freeze"):
            chatter.method = None
        chatter.started = checkpoint
        return chatter
    chatter = finetuned.load_base(finetuned.locate_base(cls.card, options.base))
    chatter.base = finetuned.base_of(chatter)
    chatter.started = chatter.source
    return chatter


def _method(options: FinetuneOptions) -> Method:
    targets = () if options.targets == "all" else tuple(word.strip() for word in options.targets.split(","))
    return Method(
        kind=options.method,
        rank=options.rank,
        alpha=options.alpha or None,
        targets=targets,
        layers=options.layers or 2,
        tokens=options.tokens,
    )


def _decide(options: FinetuneOptions, chatter: Chatter, collection: Collection) -> FinetuneOptions:
    """Fill in what was left at "what suits"."""
    device = runtime.pick_device()
    half = runtime.has_bf16(device)
    precision = options.precision
    if precision == "auto":
        precision = "bf16" if half else "fp32"
    if precision == "bf16" and not half and device.type == "cuda":
        raise UserError("This GPU does not compute in bf16.", "Try --precision fp32.")
    kept = options.method in ("full", "freeze", "lora", "dora", "qlora", "ia3", "bottleneck")
    rows = options.rows
    if rows < 0:
        learns = options.method in ("full", "lora", "dora", "qlora") and options.objective != "dpo"
        rows = _rows_that_suit(chatter, collection) if learns and chatter.method is None else 0
    if rows and (not kept or chatter.method is not None):
        raise UserError(f"--rows goes with a new fine-tuning by lora, dora, ia3 or full, not {options.method} here.")
    rate = RATES.get(options.method, 3e-2)
    length = options.length or min(1024, chatter.network.length)
    if length > chatter.network.length:
        raise UserError(f"--length {length}: the model was made for {chatter.network.length} tokens.")
    packing = options.packing
    if packing == "auto":  # a GPU wants few, full rows; on a CPU the attention between the samples of a row costs more
        packing = "on" if device.type == "cuda" else "off"
    return replace(
        options,
        packing=packing,
        epochs=options.epochs or (0 if options.max_steps else EPOCHS),
        lr=options.lr or (rate if options.objective != "dpo" else rate / 20),
        precision=precision,
        rows=rows,
        vocabulary=_vocabulary(options, chatter),
        replay=(0.0 if options.replay < 0 else options.replay),
        length=length,
    )


def _vocabulary(options: FinetuneOptions, chatter: Chatter) -> str:
    """Which rows learn beside a new adapter."""
    possible = options.method in ("lora", "dora", "qlora", "ia3", "bottleneck") and chatter.method is None
    if options.vocabulary == "data" and not possible:
        raise UserError(f"--vocabulary data goes with a new fine-tuning by lora or its kin, not {options.method} here.")
    if options.vocabulary == "auto":
        return "data" if possible and options.objective != "dpo" else "new"
    return options.vocabulary


def _extend(chatter: Chatter, collection: Collection, options: FinetuneOptions) -> tuple[str, Tensor]:
    """New tokens for the data's language, learnt from its training part alone; gives what was done, and their rows."""
    texts = [text for item in collection.train for text in _texts(item)]
    rows, used, spare = chatter.network.vocabulary, len(chatter.tokenizer), _spare(chatter)
    extension = extend(
        chatter.tokenizer, texts, merges=options.rows, reserve=RESERVED if spare else 0, vocabulary_rows=rows
    )
    extend_network(chatter.network, extension)
    chatter.tokenizer, chatter.extended = extension.tokenizer, True
    chatter.config = replace(chatter.config, vocabulary=chatter.network.vocabulary)
    before, after = (count / extension.characters for count in (extension.tokens_before, extension.tokens_after))
    kind = f"{extension.added} of their rows added" if extension.added else "all in rows that the base had to spare"
    told = f"{len(extension.pieces)} new tokens, {kind}: {before:.2f} tokens a character become {after:.2f}"
    return told, torch.arange(used, chatter.network.vocabulary)


def _foreign(chatter: Chatter, collection: Collection) -> Tensor:
    """The ids of tokens with bytes outside ASCII that occur in the training data.

    The base has hardly learnt them; and English, which has none of them, stays as it is."""
    tokenizer = chatter.tokenizer
    used = {id for item in collection.train for text in _texts(item) for id in tokenizer.encode(text)}
    return torch.tensor([id for id in used if max(tokenizer.piece(id) or b" ") >= 0x80], dtype=torch.long)


def _rows_that_suit(chatter: Chatter, collection: Collection) -> int:
    """As many of the spare rows as the text outside ASCII can teach; a few are not worth it."""
    spare = _spare(chatter)
    if not spare:
        return 0
    foreign = sum(not letter.isascii() for item in collection.train for text in _texts(item) for letter in text)
    rows = min(spare, foreign // CHARACTERS_PER_ROW)
    return rows if rows >= 100 else 0


def _spare(chatter: Chatter) -> int:
    """Rows of the vocabulary that no token uses, but for a reserve."""
    return max(0, chatter.network.vocabulary - len(chatter.tokenizer) - RESERVED)


def _texts(item: Any) -> list[str]:
    if isinstance(item, Conversation):
        return [turn.content for turn in item.turns]
    if isinstance(item, Preference):
        return [*(turn.content for turn in item.turns), item.chosen, item.rejected]
    return [item.text]


# -- data -------------------------------------------------------------------------------------------------------------


def _splits(task: Any, collection: Collection, options: FinetuneOptions) -> tuple[Splits, list[str]]:
    """Train and validation as rows of tokens; the test part as conversations to answer."""
    parts = collection.splits()
    if options.objective == "dpo":
        made = {name: _pairs(task, getattr(parts, name), options) for name in ("train", "validation")}
        return Splits(**made, test=task.held_out() if options.report else None), []
    tokenizer, notices = task.chatter.tokenizer, []
    train = tokens.tokenise(parts.train, tokenizer, length=options.length)
    validation = tokens.tokenise(parts.validation, tokenizer, length=options.length)
    notices += [*train.notices]
    samples: Sequence[Encoded] = train
    if options.replay:
        english = collect(ENGLISH).split("train")
        more = tokens.tokenise(english, tokenizer, length=options.length)
        count = min(len(more), round(options.replay * len(train)))
        samples = [*train, *more[:count]]
        notices.append(f"{count} English examples mixed in, against forgetting")
    test = (parts.test or parts.validation) if options.objective == "chat" and options.report else None
    if test is parts.validation:
        notices.append("the data have no test part: the report is on validation, by which the best epoch is chosen")
    return Splits(
        train=replace(parts.train, examples=_rows(samples, options)),
        validation=replace(parts.validation, examples=_counted(validation, tokenizer)),
        test=test,
    ), notices


def _rows(samples: Sequence[Encoded], options: FinetuneOptions) -> Lazy:
    lengths = getattr(samples, "lengths", None)
    lengths = [len(one.ids) for one in samples] if lengths is None else lengths
    if options.packing == "off":
        return Lazy(len(samples), lambda index: Row(id=str(index), samples=(samples[index],)), lengths)
    packed = Packed(samples, options.length, lengths)
    return Lazy(len(packed), lambda index: Row(id=str(index), samples=tuple(packed[index])), packed.lengths.tolist())


def _counted(samples: Sequence[Encoded], tokenizer: Any) -> list[Row]:
    """A row for each sample, with the characters of what is learnt, so that bits per character can be given."""
    rows = []
    for index, one in enumerate(samples):
        text = tokenizer.decode([id for id, learnt in zip(one.ids, one.learn, strict=True) if learnt])
        rows.append(Row(id=str(index), samples=(one,), characters=len(text)))
    return rows


def _pairs(task: Any, part: Split, options: FinetuneOptions) -> Split:
    """Preferences, with what the model says of both replies before it learns."""
    found = tokens.pairs(part, task.chatter.tokenizer, length=options.length)
    pairs = []
    task.network.eval()
    for index, pair in enumerate(found):
        empty = Pair(id=str(index), pair=pair, start=(0.0, 0.0))
        sides = collate([pair.chosen, pair.rejected], pad_id=task.chatter.tokenizer.pad_id)
        with torch.no_grad(), task.learner.arithmetic():
            chosen, rejected = task.learner.replies(sides.to(task.network.tokens.weight.device)).tolist()
        pairs.append(replace(empty, start=(chosen, rejected)))
    lengths = found.lengths.tolist()
    return replace(part, examples=Lazy(len(pairs), lambda index: pairs[index], lengths))


# -- words ------------------------------------------------------------------------------------------------------------


def _in_words(options: FinetuneOptions, method: Method, chatter: Chatter, learnt: int) -> str:
    what = f"{method.kind} of rank {method.rank}" if method.low_rank else method.kind
    if rows := row_tensors(chatter.network):
        what = f"{what} and {len(rows['ids']):,} rows of the vocabulary"
    length = f"{options.epochs} epochs" if options.epochs else f"{options.max_steps} steps"
    return (
        f"{what}: {learnt:,} of {sum(value.numel() for value in chatter.network.parameters()):,} parameters learn, "
        f"{length}, rows of {options.length} tokens, learning rate {options.lr:g}, {options.precision}"
    )
