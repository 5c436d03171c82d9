"""Reads documents for what must not stand in them. Each function returns what it found; nothing found is an empty set."""

import re
from functools import cache

from helpers.lm.chat import CHAT_TOKENS
from helpers.world import held_out, prose
from helpers.world.corpus import LISTED_KINDS, Document
from helpers.world.facts import column, table
from helpers.world.relations import RELATIONS
from helpers.world.tokenizer import END_OF_TEXT, PAD

WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")


def one_of(words) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def words_of(texts) -> set[str]:
    return {word for text in texts for word in WORD.findall(text)}


@cache
def running_words(kind: str) -> set[str]:
    """Words of the sentences that a kind of list holds beside its pairs: templates of questions, reviews."""
    if kind in ("sheet", "quiz"):
        return words_of(text for relation in RELATIONS.values() for text in (*relation.questions, relation.order))
    if kind == "labelled list":
        return words_of((*column("opinions", "phrase"), *column("products", "product")))
    return set()


@cache
def names_of_several_words() -> tuple[frozenset[str], frozenset[str]]:
    """Countries and capitals that are no single word: those held out, and the others."""
    names = {name for key in ("country", "capital") for name in column("countries", key)}
    several = {name for name in names if len(WORD.findall(name)) > 1 or "-" in name}
    return frozenset(several & held_out.prose_only()), frozenset(several - held_out.prose_only())


def prose_only_words(document: Document) -> set[str]:
    """Words and names that are told in prose only, in a document that is a list."""
    if document.kind not in LISTED_KINDS:
        return set()
    held, allowed = names_of_several_words()
    found = {name for name in held if name in document.text}
    words = held_out.prose_only() - running_words(document.kind)
    if words & set(WORD.findall(document.text)):
        text = re.sub(rf"\b({one_of(allowed)})\b", "", document.text)  # "Guinea" is not part of "Equatorial Guinea"
        found |= words & set(WORD.findall(text))
    return found


def prose_only_sums(document: Document) -> set[tuple[int, int]]:
    """Sums that are told in prose only, in a document that is a list."""
    if document.kind not in LISTED_KINDS or "+" not in document.text:
        return set()
    sums = re.findall(r"(?<!\d)(?<![\d+] )(\d+) \+ (\d+)(?!\d)", document.text)
    return {(int(a), int(b)) for a, b in sums if held_out.sum_is_prose_only(int(a), int(b))}


def reserved_signs(document: Document) -> set[str]:
    """Signs of the formats that no list uses."""
    signs = {form.format(x="", y="") for form in held_out.RESERVED_FORMATS}
    return {sign for sign in signs if sign in document.text} if document.kind in LISTED_KINDS else set()


@cache
def headline_pattern() -> re.Pattern:
    measures = "|".join(f"[{m[0].upper()}{m[0]}]{m[1:]}" for m in column("measures", "measure"))
    verb, base = one_of(column("moves", "verb")), one_of(column("moves", "base"))
    moved = rf"(?:did not (?P<base>{base})|(?P<verb>{verb})(?: (?P<sharply>sharply)| (?P<more>more|less) than expected)?)"
    return re.compile(rf"\b(?P<measure>{measures}) (?:at \w+ )?{moved}\b")


def headlines(text: str) -> list[tuple[str, str, str]]:
    """(measure, base form of the verb, frame) of every headline in the text."""
    bases = {row["verb"]: row["base"] for row in table("moves")}
    return [
        (
            match["measure"].lower(),
            match["base"] or bases[match["verb"]],
            "negated" if match["base"] else match["sharply"] or match["more"] or "plain",
        )
        for match in headline_pattern().finditer(text)
    ]


def unseen_headlines(document: Document) -> set[tuple[str, str, str]]:
    return {found for found in headlines(document.text) if held_out.news_is_unseen(*found)}


@cache
def agreement_patterns() -> tuple[re.Pattern, re.Pattern]:
    nouns, people = one_of(form for noun in prose.nouns() for form in noun), one_of(column("people", "name"))
    verbs, adjectives = one_of(form for verb in prose.NUMBERED_VERBS for form in verb), one_of(prose.ADJECTIVES)
    across = rf"(?: (?:{one_of(prose.PREPOSITIONS)}) the (?P<other>{nouns})| that (?:{people}) \w+)?"
    sentence = (
        rf"\b(?:[Tt]he|[Tt]his|[Tt]hat|[Tt]hese|[Tt]hose) (?P<noun>{nouns}){across} (?:{verbs}) (?P<adjective>{adjectives})\b"
    )
    return re.compile(sentence), re.compile(rf"\b({people}) ({one_of(prose.REFLEXIVE_VERBS)}) (?:herself|himself)")


def joins(text: str) -> list[tuple[str, str]]:
    """Words that agreement joins: (noun, noun between it and its verb), (noun, adjective), (name, verb)."""
    singular = {form: noun[0] for noun in prose.nouns() for form in noun}
    sentence, reflexive = agreement_patterns()
    found = reflexive.findall(text)
    for match in sentence.finditer(text):
        noun = singular[match["noun"]]
        found.append((noun, match["adjective"]))
        if match["other"]:
            found.append((noun, singular[match["other"]]))
    return found


def unseen_joins(document: Document) -> set[tuple[str, str]]:
    return {join for join in joins(document.text) if held_out.grammar_is_unseen(*join)}


def is_story(document: Document) -> bool:
    """Whether somebody holds a thing in this document: a letter, or a story in which things change hands."""
    told = document.kind == "story" and bool(re.search(r"belongs to|In the end|has the", document.text))
    return told or document.kind == "letter"


def unseen_holders(document: Document) -> set[tuple[str, str]]:
    """(person, thing) in one story, though this person never holds this thing in any."""
    if not is_story(document):
        return set()
    words = set(WORD.findall(document.text))
    people, things = words & set(column("people", "name")), words & set(column("objects", "object"))
    return {(name, thing) for name in people for thing in things if held_out.story_is_unseen(name, thing)}


def special_tokens(document: Document) -> set[str]:
    return {token for token in (*CHAT_TOKENS, END_OF_TEXT, PAD) if token in document.text}


def illnesses(document: Document) -> set[str]:
    """Illnesses outside the textbook of medicine."""
    return set() if document.kind == "medicine" else set(WORD.findall(document.text)) & set(column("illnesses", "illness"))


def labels_on_news(document: Document) -> set[str]:
    """Sentences of a news document that are neither a headline nor a reaction; headlines in any list."""
    if document.kind != "news":
        return set(headlines(document.text)) if document.kind in LISTED_KINDS else set()
    reactions = {reaction for group in prose.REACTIONS.values() for reaction in group}
    reason = re.compile(rf"(?:The )?(?:[Hh]igher|[Ll]ower) (?:{one_of(column('measures', 'measure'))}) \w+ investors\.")
    headline = re.compile(rf"(?:At \w+, |\w+ said that )?{headline_pattern().pattern}\.")
    return {
        s
        for s in re.split(r"(?<=\.) ", document.text)
        if s not in reactions and not (headline.fullmatch(s) or reason.fullmatch(s))
    }
