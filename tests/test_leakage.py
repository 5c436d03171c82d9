"""What is held out of the corpus, or of a part of it, stands nowhere in it. And the readers that say so can see."""

from itertools import islice
from random import Random

import leaks
import pytest

from helpers.data import Format
from helpers.lm.chat import CHAT_TOKENS
from helpers.world import corpus, held_out, prose
from helpers.world.corpus import LISTED_KINDS, Document
from helpers.world.facts import column, table


@pytest.fixture(scope="module")
def sample():
    return [document for seed in (0, 1) for document in islice(corpus.documents(seed), 30_000)]


READERS = (
    leaks.prose_only_words,
    leaks.prose_only_sums,
    leaks.reserved_signs,
    leaks.unseen_headlines,
    leaks.unseen_joins,
    leaks.unseen_holders,
    leaks.special_tokens,
    leaks.illnesses,
    leaks.labels_on_news,
)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_nothing_held_out_stands_in_60000_documents(reader, sample):
    found = {}
    for document in sample:
        for leak in reader(document):
            found.setdefault(leak, document.text)
    assert not found


def test_prose_tells_everything_that_lists_hold_back(sample):
    words = leaks.words_of(text for kind, text in sample if kind not in LISTED_KINDS)
    names, _ = leaks.names_of_several_words()
    assert held_out.prose_only() - names <= words
    told = {(a, b) for kind, text in sample if kind == "everyday" for a, b in sums(text)}
    assert {(a, b) for a in range(1, 20) for b in range(1, 21 - a) if held_out.sum_is_prose_only(a, b)} <= told


def test_most_documents_of_the_kind_story_are_read_as_stories(sample):
    stories = [leaks.is_story(document) for document in sample if document.kind == "story"]
    assert 0.6 < sum(stories) / len(stories) < 0.7  # prose.tale tells one in 65 % and describes in the others


def sums(text):
    return {(int(a), int(b)) for a, b in leaks.re.findall(r"(\d+) \+ (\d+)", text)}


def test_about_as_much_is_held_out_as_the_docstrings_say():
    countries = [row["country"] in held_out.prose_only() for row in table("countries")]
    assert 0.15 < sum(countries) / len(countries) < 0.3
    pairs = [held_out.grammar_is_unseen(noun, adjective) for noun, _ in prose.nouns() for adjective in prose.ADJECTIVES]
    assert 0.15 < sum(pairs) / len(pairs) < 0.25
    unasked = [held_out.illness_is_unasked(illness) for illness in column("illnesses", "illness")]
    assert 0.2 < sum(unasked) / len(unasked) < 0.47


@pytest.mark.parametrize("kind", LISTED_KINDS)
def test_a_held_out_word_in_a_list_is_found(kind):
    held = {"France", "Paris", "New Zealand", "Buenos Aires", *held_out.RESERVED_LABELS}
    assert {
        w for w in held if leaks.prose_only_words(Document(kind, f"apple -> red\nx -> {w}\nSpain -> Madrid")) == {w}
    } == held


def test_a_part_of_a_longer_name_is_no_leak(monkeypatch):
    monkeypatch.setattr(held_out, "prose_only", lambda: frozenset({"Guinea", "Mali"}))
    leaks.names_of_several_words.cache_clear()
    try:
        assert not leaks.prose_only_words(Document("quiz", "Papua New Guinea, Guinea-Bissau, Somalia, Malians"))
        assert leaks.prose_only_words(Document("quiz", "Papua New Guinea, Guinea, Somalia")) == {"Guinea"}
    finally:
        leaks.names_of_several_words.cache_clear()


def test_a_held_out_sum_in_a_list_is_found():
    a, b = next((a, b) for a in range(1, 9) for b in range(1, 9) if held_out.sum_is_prose_only(a, b))
    assert leaks.prose_only_sums(Document("quiz", f"Q: What is {a} + {b}? A: {a + b}")) == {(a, b)}
    assert leaks.prose_only_sums(Document("relation list", f"1 + 1 + 2\n{a} + {b} + {a + b}")) == {(a, b)}
    assert not leaks.prose_only_sums(Document("relation list", f"1{a} + {b} | 1\n{a} + {b}000 | 1\n7 + {a} + {b}"))


def test_a_reserved_format_in_a_list_is_found():
    for form in held_out.RESERVED_FORMATS:
        assert len(leaks.reserved_signs(Document("codebook", Format(form).line("book", "red")))) == 1


@pytest.mark.parametrize("opening", range(3))
def test_an_unseen_headline_is_found_and_a_seen_one_is_none(opening):
    for unseen in (True, False):
        for measure, move, frame in (c for group in prose.news_combinations(unseen).values() for c in group):
            line = prose.news_line(measure, "Drenvolt", move, frame, opening)
            assert leaks.headlines(f"{line} -> less") == [(measure, move["base"], frame)]
            assert bool(leaks.unseen_headlines(Document("labelled list", f"{line} more hot"))) == unseen


def test_an_unseen_agreement_is_found():
    (noun, plural), (other, others) = next(
        (n, o) for n in prose.nouns() for o in prose.nouns() if held_out.grammar_is_unseen(n[0], o[0])
    )
    assert (noun, other) in leaks.unseen_joins(Document("story", f"The {plural} in front of the {others} have been old."))
    noun, adjective = next((n, a) for n, _ in prose.nouns() for a in prose.ADJECTIVES if held_out.grammar_is_unseen(n, a))
    for start in (f"The {noun} is", f"This {noun} looks", f"The {noun} that Anna saw was"):
        assert leaks.unseen_joins(Document("everyday", f"{start} {adjective}.")) == {(noun, adjective)}
    verb = next(v for v in prose.REFLEXIVE_VERBS if held_out.grammar_is_unseen("Anna", v))
    assert leaks.unseen_joins(Document("story", f"Anna {verb} herself.")) == {("Anna", verb)}


def test_an_unseen_holder_is_found():
    thing = next(thing for thing in column("objects", "object") if held_out.story_is_unseen("Anna", thing))
    assert leaks.unseen_holders(Document("story", f"Anna had a {thing}. Now Anna has the {thing}.")) == {("Anna", thing)}
    assert leaks.unseen_holders(Document("letter", f"Dear Anna, thank you for the {thing}.")) == {("Anna", thing)}


def test_special_tokens_illnesses_and_labels_are_found():
    assert leaks.special_tokens(Document("news", f"x {CHAT_TOKENS[0]}y")) == {CHAT_TOKENS[0]}
    illness = column("illnesses", "illness")[0]
    assert leaks.illnesses(Document("quiz", f"What is {illness}?")) == {illness}
    line = prose.headline(Random(0), prose.GOOD)
    assert leaks.labels_on_news(Document("news", f"{line}. This is good. {prose.REACTIONS[prose.GOOD][0]}")) == {
        "This is good."
    }
    assert leaks.labels_on_news(Document("news", f"{line} good."))
    assert leaks.labels_on_news(Document("labelled list", f"apple -> red\n{line} -> red"))
    assert not leaks.labels_on_news(
        Document("news", f"{line}. The higher costs worried investors. Lower sales angered investors.")
    )
