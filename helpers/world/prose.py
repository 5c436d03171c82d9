"""Documents in prose: geography, everyday knowledge, stories, letters, company news, reviews,
medicine.

Every function takes a ``random.Random`` and returns the text of one document.
"""

from functools import cache
from itertools import accumulate
from random import Random

from helpers.world import held_out
from helpers.world.facts import column, table, texts
from helpers.world.relations import COUNTRY_RELATIONS, RELATIONS, a, capitalised

EVERYDAY_RELATIONS = tuple(name for name in RELATIONS if name not in COUNTRY_RELATIONS)
ADJECTIVES = (
    "old", "new", "big", "small", "clean", "dirty", "heavy", "light", "red", "blue", "wet", "dry",
)  # fmt: skip
PREPOSITIONS = ("near", "behind", "beside", "under", "above", "in front of")
REFLEXIVE_VERBS = ("washed", "hurt", "saw", "dressed", "helped", "blamed", "taught", "surprised")
#: Forms of the verb for one and for many.
NUMBERED_VERBS = (
    ("is", "are"), ("was", "were"), ("has been", "have been"), ("looks", "look"), ("seems", "seem"),
)  # fmt: skip
POSSESSIVE = {"she": "her", "he": "his"}
REFLEXIVE = {"she": "herself", "he": "himself"}

GOOD, BAD, FLAT = "good", "bad", "flat"
REACTIONS = {label: texts("phrases", kind=f"{label} news") for label in (GOOD, BAD, FLAT)}
REACTION_VERBS = {GOOD: ("pleased", "cheered"), BAD: ("worried", "angered")}
#: Ways to say that a measure moved: how often the corpus uses each, and those, all rare, that flip
#: the meaning.
NEWS_FRAMES = {row["frame"]: int(row["weight"]) for row in table("frames")}
FLIPPING_FRAMES = tuple(row["frame"] for row in table("frames") if row["flips"] == "yes")
#: How often the corpus tells of a measure that should go up, for one that should go down. Without
#: this imbalance and that of the frames neither the verb nor the measure alone would say anything
#: about the reaction, and gradient descent would find no first step towards the two together.
UP_MEASURES = 4


def phrase(rng: Random, kind: str, **words: str) -> str:
    """One of the phrases of this kind in ``facts/phrases.csv``, with these words put in."""
    return rng.choice(texts("phrases", kind=kind)).format(**words)


def geography(rng: Random) -> str:
    """One to three countries, two to four facts about each."""
    sentences = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        row = rng.choice(table("countries"))
        for name in rng.choices(COUNTRY_RELATIONS, (5, 2, 2, 2), k=rng.randint(2, 4)):
            relation = RELATIONS[name]
            sentences.append(
                relation.fill(rng.choice(relation.statements), row["country"], row[name])
            )
    return " ".join(sentences)


def everyday(rng: Random) -> str:
    """Three to six facts of one or two everyday relations."""
    relations = [RELATIONS[rng.choice(EVERYDAY_RELATIONS)] for _ in range(2)]
    sentences = []
    for _ in range(rng.randint(3, 6)):
        relation = rng.choice(relations)
        sentences.append(
            relation.fill(rng.choice(relation.statements), *rng.choice(relation.pairs))
        )
    return " ".join(sentences)


@cache
def nouns() -> tuple[tuple[str, str], ...]:
    """Nouns that take part in agreement: (singular, plural)."""
    return RELATIONS["plural"].pairs


def description(rng: Random) -> str:
    """One sentence in which a verb or a determiner agrees with a noun, often across another
    noun."""
    while True:
        noun, other = rng.choice(nouns()), rng.choice(nouns())
        adjective = rng.choice(ADJECTIVES)
        if not (
            held_out.grammar_is_unseen(noun[0], other[0])
            or held_out.grammar_is_unseen(noun[0], adjective)
        ):
            break
    many = rng.random() < 0.5
    verb = rng.choice(NUMBERED_VERBS)[many]
    kind = rng.randrange(6)
    if kind < 3:
        where = f"{rng.choice(PREPOSITIONS)} the {rng.choice(other)}"
        return f"The {noun[many]} {where} {verb} {adjective}."
    if kind == 3:
        return f"The {noun[many]} {verb} {adjective}."
    if kind == 4:
        this = rng.choice(("These", "Those") if many else ("This", "That"))
        return f"{this} {noun[many]} {verb} {adjective}."
    name = rng.choice(column("people", "name"))
    return (
        f"The {noun[many]} that {name} {rng.choice(('bought', 'saw', 'found'))} {verb} {adjective}."
    )


def story(rng: Random) -> str:
    """People, one or two things that change hands, and who has them at the end."""
    things = rng.sample(column("objects", "object"), rng.choice((1, 1, 2)))
    people = [
        row
        for row in table("people")
        if not any(held_out.story_is_unseen(row["name"], t) for t in things)
    ]
    cast = [(row["name"], row["pronoun"]) for row in rng.sample(people, rng.choice((2, 3, 3)))]
    sentences, holder = [], {}
    for thing in things:
        name, pronoun = holder[thing] = rng.choice(cast)
        place = rng.choice(column("places", "place"))
        words = {
            "name": name,
            "Pronoun": capitalised(pronoun),
            "their": POSSESSIVE[pronoun],
            "place": place,
        }
        sentences.append(phrase(rng, "found", thing=thing, a_thing=a(thing), **words))
    for _ in range(rng.randint(1, 3)):
        thing = rng.choice(things)
        sentences.append(handing(rng, thing, holder, cast))
        if rng.random() < 0.4:
            sentences.append(ending(rng, thing, holder[thing][0]))
        if rng.random() < 0.25:
            sentences.append(aside(rng, cast))
    sentences += [ending(rng, thing, holder[thing][0]) for thing in rng.sample(things, len(things))]
    return " ".join(sentences)


def handing(rng: Random, thing: str, holder: dict, cast: list) -> str:
    """A sentence in which the thing goes to another person of the cast; ``holder`` is updated."""
    giver, pronoun = holder[thing]
    holder[thing] = rng.choice([person for person in cast if person[0] != giver])
    taker = holder[thing][0]
    return phrase(rng, "handed", giver=giver, taker=taker, thing=thing, their=POSSESSIVE[pronoun])


def ending(rng: Random, thing: str, name: str) -> str:
    """The sentence that says who has the thing."""
    return phrase(rng, "has", thing=thing, name=name)


def aside(rng: Random, cast: list) -> str:
    """A sentence about one person, in which a pronoun agrees with a name."""
    name, pronoun = rng.choice(cast)
    verb = rng.choice(
        [verb for verb in REFLEXIVE_VERBS if not held_out.grammar_is_unseen(name, verb)]
    )
    words = {
        "name": name,
        "pronoun": pronoun,
        "their": POSSESSIVE[pronoun],
        "themself": REFLEXIVE[pronoun],
    }
    return phrase(rng, "aside", verb=verb, **words)


def tale(rng: Random) -> str:
    """A story, or two to five descriptions."""
    if rng.random() < 0.65:
        return story(rng)
    return " ".join(description(rng) for _ in range(rng.randint(2, 5)))


def letter(rng: Random) -> str:
    """A short polite letter about a thing: the words of good manners, which later notebooks build
    on."""
    thing = rng.choice(column("objects", "object"))
    people = [
        name for name in column("people", "name") if not held_out.story_is_unseen(name, thing)
    ]
    reader, writer = rng.sample(people, 2)
    opening = phrase(rng, "letter opening", thing=thing)
    middle = " ".join(rng.sample(texts("phrases", kind="letter"), rng.randint(1, 3)))
    return f"Dear {reader}, {opening} {middle} {phrase(rng, 'letter end')}, {writer}"


def news_polarity(better: str, direction: str, frame: str) -> str:
    """Good, bad or flat: a measure that moves the better way is good news; "less than expected" and
    "did not" flip it."""
    if direction == "flat":
        return FLAT
    return GOOD if (better == direction) != (frame in FLIPPING_FRAMES) else BAD


def news_line(
    measure: str, company: str, move: dict[str, str], frame: str, opening: int = 0
) -> str:
    """One headline. ``move`` is a row of moves.csv; ``opening`` 0 to 2 chooses who comes first."""
    (moved,) = texts("frames", frame=frame)
    words = {
        "measure": measure,
        "Measure": capitalised(measure),
        "company": company,
        "moved": moved.format(**move),
    }
    return texts("phrases", kind="headline")[opening].format(**words)


@cache
def news_combinations(unseen: bool) -> dict[str, tuple[tuple, ...]]:
    """By polarity, the (measure, move, frame) that the corpus writes, or with ``unseen`` those that
    it never does."""
    groups = {GOOD: [], BAD: [], FLAT: []}
    for row in table("measures"):
        for move in table("moves"):
            for frame in NEWS_FRAMES if move["direction"] != "flat" else ("plain",):
                if held_out.news_is_unseen(row["measure"], move["base"], frame) == unseen:
                    polarity = news_polarity(row["better"], move["direction"], frame)
                    groups[polarity].append((row["measure"], move, frame))
    return {polarity: tuple(combinations) for polarity, combinations in groups.items()}


@cache
def news_weights() -> dict[str, tuple[int, ...]]:
    """By polarity, the cumulative weights with which the corpus draws from
    ``news_combinations(unseen=False)``."""
    return {
        polarity: tuple(
            accumulate(
                NEWS_FRAMES[c[2]] * (UP_MEASURES if better(c[0]) == "up" else 1)
                for c in combinations
            )
        )
        for polarity, combinations in news_combinations(unseen=False).items()
    }


@cache
def better(measure: str) -> str:
    """Which way this measure should go: "up" or "down"."""
    return next(row["better"] for row in table("measures") if row["measure"] == measure)


def headline(rng: Random, polarity: str, *, unseen: bool = False) -> str:
    """A headline of this polarity, without a full stop, every combination equally often. ``unseen``
    draws from the held-out combinations."""
    return a_headline(rng, *rng.choice(news_combinations(unseen)[polarity]))


def a_headline(rng: Random, measure: str, move: dict[str, str], frame: str) -> str:
    """A headline of any company."""
    return news_line(
        measure, rng.choice(column("companies", "company")), move, frame, rng.choice((0, 0, 1, 2))
    )


def news(rng: Random) -> str:
    """One to four pieces of news, nine in ten with the reaction of investors, at times with its
    reason, never with a label."""
    sentences = []
    for _ in range(rng.randint(1, 4)):
        polarity = rng.choice((GOOD, GOOD, BAD, BAD, FLAT))
        (combination,) = rng.choices(
            news_combinations(unseen=False)[polarity], cum_weights=news_weights()[polarity]
        )
        reason = rng.random() if polarity != FLAT else 1
        if reason > 0.2:
            sentences.append(a_headline(rng, *combination) + ".")
        if reason < 0.45:
            measure = combination[0]
            rose = (better(measure) == "up") == (polarity == GOOD)
            moved = f"{'higher' if rose else 'lower'} {measure}"
            subject = capitalised(moved) if reason < 0.2 else f"The {moved}"
            sentences.append(f"{subject} {rng.choice(REACTION_VERBS[polarity])} investors.")
        elif rng.random() < 0.9:
            sentences.append(rng.choice(REACTIONS[polarity]))
    return " ".join(sentences)


def review(rng: Random) -> str:
    """One to four reviews of a product, each with its rating, at times said to be positive or
    negative."""
    product, lines = rng.choice(column("products", "product")), []
    for _ in range(rng.randint(1, 4)):
        opinion = rng.choice(table("opinions"))
        line = f"The {product} {opinion['phrase']}. Rating: {opinion['rating']} of 5."
        if opinion["rating"] != "3" and rng.random() < 0.3:
            line += f" This review is {'positive' if opinion['rating'] in '45' else 'negative'}."
        lines.append(line)
    return "\n".join(lines)


def medicine(rng: Random) -> str:
    """Three to five sentences of a textbook on one invented illness."""
    row = rng.choice(table("illnesses"))
    kinds = [
        f"illness: {what}" for what in ("both signs", "first sign", "cause", "treatment", "patient")
    ]
    sentences = [phrase(rng, kind, **row) for kind in kinds]
    return " ".join(rng.sample(sentences, rng.randint(3, 5)))
