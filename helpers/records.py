"""Records: what a notebook measured on a real model, for those who have no network and no GPU.

A record is written by the notebook's own code (``COURSE_RECORD=1`` in the profile ``real``), one
small JSON for each notebook, device and seed, in ``notebooks/runs/``; never by hand.
"""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from helpers import files, runtime
from helpers.errors import CourseError
from helpers.profiles import Profile
from helpers.public import hub
from helpers.stats import Rate

RUNS = Path(__file__).parent.parent / "notebooks" / "runs"


@dataclass(frozen=True)
class Record:
    """What was measured: ``figures`` by name, rates and numbers in lists and tables. ``about`` says
    of what, where, when and how: profile, models and their origin, device, machine, date, versions,
    seed, budget, seconds."""

    about: dict[str, Any]
    figures: dict[str, Any]

    def __str__(self) -> str:
        models = zip(self.about["models"], self.about["origin"], strict=True)
        of = ", ".join(f"{name} ({origin})" for name, origin in models)
        return f"{of} on {self.about['machine']}, {self.about['date']}, seed {self.about['seed']}"


def about(profile: Profile, seed: int, seconds: float) -> dict[str, Any]:
    """What a record says of itself."""
    card = torch.cuda.get_device_name() if profile.device == "cuda" else ""
    said = {
        "profile": profile.name,
        "models": list(profile.sources.values()),
        "origin": [hub.origin(name) for name in profile.sources.values()],
        "device": profile.device,
        "machine": card or runtime.machine(),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "seed": seed,
        "budget": asdict(profile.budget),
        "seconds": round(seconds),
    }
    return _plain(said)


def store(
    notebook: str,
    profile: Profile,
    seed: int,
    seconds: float,
    figures: dict[str, Any],
    folder: Path = RUNS,
) -> Record:
    """The record of this run, written to ``folder`` where the environment says
    ``COURSE_RECORD=1`` and the profile is a real one. CourseError if it cannot be written."""
    record = Record(about(profile, seed, seconds), _plain(figures))
    wanted = os.environ.get("COURSE_RECORD") == "1"
    if wanted and profile.name == "real" and not profile.rehearsal:
        file = folder / f"{notebook}-{profile.device}-{seed}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            files.write(file, json.dumps(vars(record), indent=1, default=_of_rate) + "\n")
        except OSError as error:
            raise files.cannot_write(file, error) from None
        print(f"recorded in {file.name}")
    return record


def read(notebook: str, folder: Path = RUNS) -> list[Record]:
    """All records of a notebook, by name of their file. CourseError for a damaged one."""
    records = []
    for file in sorted(folder.glob(f"{notebook}-*.json")):
        try:
            saved = json.loads(file.read_text(encoding="utf-8"), object_hook=_to_rate)
            records.append(Record(**saved))
        except (OSError, ValueError, TypeError) as error:
            raise CourseError(
                f"{file}: is no record ({error}); restore it (git checkout)"
            ) from None
    return records


def of(notebook: str, profile: Profile, folder: Path = RUNS) -> list[Record]:
    """The records of what this profile runs: of the same models, device and budget."""
    wanted = about(profile, 0, 0)
    same = ("profile", "models", "device")
    return [
        record
        for record in read(notebook, folder)
        if all(record.about[key] == wanted[key] for key in same)
        # What it does not name came in later, for another notebook.
        and record.about["budget"].items() <= wanted["budget"].items()
    ]


def _of_rate(value: object) -> object:
    if isinstance(value, Rate):
        return {"rate": [value.value, value.low, value.high, value.n]}
    raise TypeError(f"{type(value).__name__} does not go into a record")


def _to_rate(table: dict) -> object:
    return Rate(*table["rate"]) if list(table) == ["rate"] else table


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures as they come out of a file again."""
    return json.loads(json.dumps(figures, default=_of_rate), object_hook=_to_rate)
