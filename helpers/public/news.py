"""Financial tweets and how good their news is: the real counterpart of ``world.news``.

zeroshot/twitter-financial-news-sentiment (MIT), 9,543 tweets for training and 2,388 for validation,
labelled by people. Two thirds are neutral. Unlike the planted headlines they are noisy, and so are
their labels.
"""

from functools import cache
from random import Random

import pandas as pd

from helpers.data import Format, LabelTask, Prompt, check_part
from helpers.errors import CourseError, require_number
from helpers.public import held_out, hub

NAME = "zeroshot/twitter-financial-news-sentiment"
#: Words for the labels 0, 1 and 2: bearish, bullish, neutral.
SENTIMENTS = ("negative", "positive", "neutral")
#: Other words for the same labels: the best prompt is looked for among them.
WORDINGS = (SENTIMENTS, ("bad", "good", "flat"), ("down", "up", "same"))
ARROW = Format()


def read(file: str) -> list[tuple[str, int]]:
    """(tweet, label) of a file, without links, without empty ones and without repetitions. Raises
    CourseError where columns or labels are not those that the course knows."""
    place = hub.folder(NAME) / file
    try:
        table = pd.read_csv(place, keep_default_na=False)  # "NA" is a text like any other
    except (OSError, ValueError) as error:
        raise CourseError(f"{place}: cannot be read ({error}); fetch it again") from None
    if list(table.columns) != ["text", "label"] or set(table["label"]) != {0, 1, 2}:
        found = f"columns {', '.join(table.columns)}"
        raise CourseError(
            f"{NAME}/{file}: it has changed ({found}; wanted are text and label, labels 0, 1, 2); "
            "pin the revision that was tested (python -m helpers.public pin)"
        )
    rows = {}
    for text, label in zip(table["text"], table["label"], strict=True):
        if (key := held_out.words_of(text)) and key not in rows:
            rows[key] = (held_out.without_links(text), int(label))
    return list(rows.values())


@cache
def tweets(part: str = "training") -> tuple[tuple[str, int], ...]:
    """(tweet, label) of a part, in the order of the file: ``test`` is the validation file without
    what stands in the training file too; ``validation`` is a tenth of the training file.
    CourseError as ``read`` raises it, and for an unknown part."""
    check_part(part)
    of_train = read("sent_train.csv")
    if part == "test":
        known = {held_out.words_of(text) for text, _ in of_train}
        return tuple(
            row for row in read("sent_valid.csv") if held_out.words_of(row[0]) not in known
        )
    wanted = part == "validation"
    return tuple(row for row in of_train if held_out.tweet_is_for_validation(row[0]) == wanted)


def sentiment(
    how_many: int | None = None,
    seed: int = 0,
    *,
    part: str = "training",
    shots: int = 0,
    words: tuple[str, ...] = SENTIMENTS,
) -> list[Prompt]:
    """Tweets to be sorted, as frequent in each class as they are in the data: ``how_many`` of a
    part, drawn, or all. ``shots`` examples from the training part stand before each, ``words`` are
    its labels. CourseError as ``tweets`` raises it, and for more tweets than there are."""
    rows = tweets(part)
    if how_many is not None:
        require_number("how_many", how_many, 1, len(rows))
    require_number("shots", shots, 0, len(tweets("training")) - 1)
    rng = Random(f"tweets {part} {seed}")
    chosen = rng.sample(rows, len(rows) if how_many is None else how_many)
    choices = tuple(ARROW.continuation(word) for word in words)
    prompts = []
    for text, label in chosen:
        drawn = rng.sample(tweets("training"), shots + 1)
        examples = [(x, words[y]) for x, y in drawn if x != text][:shots]
        prompts.append(Prompt(ARROW.few_shot(examples, text), choices[label], choices))
    return prompts


def label_task() -> LabelTask:
    """The tweets as texts to be sorted under any labels."""
    groups = {word: [] for word in SENTIMENTS}
    for text, label in tweets("training"):
        groups[SENTIMENTS[label]].append(text)
    return LabelTask("news", SENTIMENTS, lambda rng, group: rng.choice(groups[group]), listed=False)
