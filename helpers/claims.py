"""What the notebooks claim of their results, in one table: by how much, in each profile. The
margins were written down before the runs.

Mathematics, "by hand = by library", is asserted in the notebooks; what holds of the planted world
alone too. Here stands what the course says of language models in general.
"""

from dataclasses import dataclass

from helpers import profiles, records


@dataclass(frozen=True)
class Claim:
    """``figure`` is at least the margin of the profile. None: known not to hold, for ``tiny`` of
    the planted models, for ``real`` of models of the size that two cores run. ``base``: it is about
    a model that was not tuned to follow instructions; no record of one that was supports it."""

    figure: str
    tiny: float | None
    real: float | None
    base: bool = False


CLAIMS = {
    "01 continues": Claim("bare questions that are followed by a question", 0.95, 0.50, True),
    "01 says it in a quiz": Claim("capitals said in a quiz, less those said without", 0.70, 0.20),
    "01 shots": Claim("lists continued exactly, mean: 4 shots less 0 shots", 0.30, 0.20),
    "01 naming": Claim("lists without examples, mean: task named less arrow", 0.20, 0.05),
    "01 labels": Claim("kinds of things, invented labels: 8 shots less 0 shots", 0.40, None),
    "01 size": Claim("kinds of things, 8 shots: largest model less smallest", 0.25, None),
    "01 labels matter": Claim("kinds of things, 8 shots: as they are less shuffled", 0.30, None),
    "01 loss falls": Claim("nats of a label: the first less the seventeenth", 3.0, 1.0),
    "01 induction": Claim("attention to the place to copy from, best head", 0.50, 0.30),
    "01 copies": Claim("nats of a partner: first round less second", 3.0, 1.0),
    "03 majority": Claim("finetuned, low end of its interval, less majority", 0.30, 0.08),
    "03 prompts": Claim("finetuned less the most examples in the prompt", 0.15, 0.15),
    "03 pretraining": Claim("finetuned less the same from random weights", 0.10, 0.05),
    "03 tokens": Claim("tokens of a query: with examples, in multiples of without", 8.0, 4.0),
    "03 forgetting": Claim("most that another skill has lost", 0.10, 0.05),
    "03 learned": Claim("finetuned, low end, less high end before", 0.10, 0.10),
    "05 continues": Claim("a bare question is followed by a question (1: yes)", 1.0, 1.0, True),
    "05 Paris": Claim('the reply is "Paris." and ends (1: yes)', 1.0, 1.0),
    "05 end": Claim("turns ended: shown the end, low end, less not shown, high end", 0.50, 0.50),
    "05 countries": Claim("countries held out, exact: after less before", 0.80, 0.25),
    "05 for certain": Claim("the same on the same questions, low end of its interval", 0.75, 0.15),
    "05 new forms": Claim("tasks in a new form, exact: after less before", 0.80, 0.25),
    "05 new task": Claim("sentences in the plural, never demonstrated, exact", None, 0.25, True),
    "05 ends": Claim("turns ended, countries held out", 0.99, 0.99),
    "05 opposites": Claim("opposites, never demonstrated: after less before", 0.30, 0.15, True),
    "05 more": Claim("held out, exact: most demonstrations less fewest", 0.30, 0.05),
    "05 instructions": Claim("opposites: with instructions less without them", 0.30, 0.10, True),
    "05 other words": Claim("capitals in a reply, asked in words never shown", 0.60, 0.25),
}


#: What was checked in this process, and whether it held: a record keeps it.
SEEN: dict[str, bool] = {}


def check(name: str, figure: float, profile: profiles.Profile | None = None) -> None:
    """Looks whether the figure reaches the claim's margin, and remembers it in ``SEEN``.

    In ``tiny`` AssertionError is raised if it does not; in ``real`` too, where a record says that
    it held with these models, device and budget. Elsewhere a line says whether it held here. In a
    rehearsal it is looked at, and no more.
    """
    profile = profile or profiles.current()
    claim = CLAIMS[name]
    margins = (claim.tiny, claim.real) if profile.planted else (claim.real, claim.tiny)
    wanted = next(margin for margin in margins if margin is not None)
    holds = SEEN[name] = bool(figure >= wanted)
    if profile.rehearsal:
        return
    said = f"{claim.figure}: {figure:.2f}"
    if profile.planted and claim.tiny is None:
        print(f"{said} (not expected of the planted model)")
    elif profile.planted or _held_before(name, profile):
        assert holds, f"{name}: {said}, not {wanted:.2f} or more"
    elif claim.base and tuned_by_its_makers(profile):
        print(f"{said} (says nothing: the makers of this model tuned it to follow instructions)")
    elif claim.real is None:
        print(f"{said} (not expected of models of this size)")
    else:
        print(f"{said}, which {'held' if holds else 'did not hold'} here")


def tuned_by_its_makers(profile: profiles.Profile) -> bool:
    """Whether the largest model is no base model: what it does with an instruction shows nothing
    of pretraining."""
    return "instruct" in profile.base.lower()


def _held_before(name: str, profile: profiles.Profile) -> bool:
    if CLAIMS[name].real is None or (CLAIMS[name].base and tuned_by_its_makers(profile)):
        return False
    past = records.of(name.split()[0], profile)
    return any(record.figures.get("claims", {}).get(name) for record in past)
