"""A language model of whatever family; nothing here knows the world.

From bottom to top:

    encoding  texts as token ids, for any tokenizer, and batches of them
    ask       by the likelihood of a continuation, or by what it writes
    chat      the chat template, and replies
    cost      parameters, FLOPs and memory by formula
    ngram     n-gram baselines
    models    sizes, loading, saving
"""

from helpers.lm.models import load

__all__ = ["load"]
