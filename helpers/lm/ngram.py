"""N-gram models: the baselines that know nothing but counts."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerFast

from helpers.errors import require_some


class NGram:
    """An n-gram over tokens, each order interpolated with the one below by absolute discounting
    (Ney et al. 1994)."""

    def __init__(self, n: int, tokenizer: PreTrainedTokenizerFast, discount: float = 0.75):
        self.n, self.tokenizer, self.discount = n, tokenizer, discount
        # counts[k]: of k + 1 tokens in a row
        self.counts: list[Counter] = [Counter() for _ in range(n)]
        # totals[k]: how often a context of k tokens went on
        self.totals: list[Counter] = [Counter() for _ in range(n)]
        # kinds[k]: in how many ways it went on
        self.kinds: list[Counter] = [Counter() for _ in range(n)]

    def fit(self, texts: Iterable[str]) -> "NGram":
        """Counts the texts, each between two ends of text. CourseError for no text."""
        texts = list(texts)
        require_some(texts, "texts to count")
        for ids in self._encode(texts):
            for k in range(self.n):
                self.counts[k].update(zip(*(ids[i:] for i in range(k + 1)), strict=False))
        for k in range(self.n):
            for gram, count in self.counts[k].items():
                self.totals[k][gram[:-1]] += count
                self.kinds[k][gram[:-1]] += 1
        return self

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        end = self.tokenizer.eos_token_id
        rows = (
            self.tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            if texts
            else []
        )
        return [[end, *ids, end] for ids in rows]

    def probability(self, gram: tuple[int, ...]) -> float:
        """The probability of the last token of ``gram`` after the others, at most n tokens in
        all."""
        if not gram:
            return 1 / len(self.tokenizer)
        k = len(gram) - 1
        lower = self.probability(gram[1:])
        total = self.totals[k][gram[:-1]]
        if not total:
            return lower
        left = self.discount * self.kinds[k][gram[:-1]] / total
        return max(self.counts[k][gram] - self.discount, 0) / total + left * lower

    def logprobs(self, texts: Sequence[str], *, closed: bool = False) -> list[float]:
        """The log-probability of each text as a document's beginning, or with ``closed`` as a whole
        document."""
        sums = []
        for ids in self._encode(texts):
            last = len(ids) if closed else len(ids) - 1
            grams = (tuple(ids[max(0, i - self.n + 1) : i + 1]) for i in range(1, last))
            sums.append(sum(math.log(self.probability(gram)) for gram in grams))
        return sums

    def bits_per_byte(self, texts: Sequence[str]) -> float:
        """Cross-entropy of whole documents in bits per byte of UTF-8. CourseError for no
        document."""
        require_some("".join(texts), "characters to predict")
        return (
            -sum(self.logprobs(texts, closed=True))
            / math.log(2)
            / sum(len(text.encode()) for text in texts)
        )
