"""The files of public models and data sets, for a class without a network, and their revisions.

python -m helpers.public fetch FOLDER          all of them into a mirror, COURSE_HUB=FOLDER reads it
                                               and what is to be installed (FOLDER/wheels)
python -m helpers.public fetch FOLDER NAME     one of them, for instance HuggingFaceTB/SmolLM2-135M
python -m helpers.public pin                   looks up the newest revisions, and writes them down
"""

import argparse
import csv
import io
import sys
from pathlib import Path

import helpers

if __name__ == "__main__":
    helpers.online()

from huggingface_hub import HfApi  # which looks once whether it is offline

from helpers import files, setup
from helpers.errors import CourseError
from helpers.public import hub


def fetch(folder: Path, names: list[str]) -> None:
    """Each repository into ``folder/OWNER/NAME``, whole or not at all; what is there is kept.
    CourseError as ``hub.download`` raises it, and for a disk that is too small."""
    wanted = [hub.source(name) for name in names or hub.sources()]
    missing = [source for source in wanted if not (folder / source.name).is_dir()]
    for source in wanted:
        if source not in missing:
            print(f"{source.name}: is there")
    files.check_space(folder.absolute(), int(1.2e6 * sum(s.megabytes for s in missing)))
    for source in missing:
        print(f"{source.name}: about {source.megabytes} MB, licence {source.licence}")
        with files.atomic_folder(folder / source.name, "mirror") as beside:
            hub.download(
                source.name,
                repo_type=source.kind,
                revision=source.pinned,
                allow_patterns=list(source.patterns),
                local_dir=beside,
            )
    print(f"set COURSE_HUB={folder}")


def pin(table: Path = hub.SOURCES) -> None:
    """Writes the newest revision of each repository into the table. CourseError as ``hub.download``
    raises it."""
    api, written = HfApi(), io.StringIO()
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    writer = csv.DictWriter(written, rows[0], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        with hub.in_one_line(row["name"]):
            row["revision"] = api.repo_info(row["name"], repo_type=row["kind"]).sha
        print(f"{row['name']}: {row['revision']}")
        writer.writerow(row)
    files.write(table, written.getvalue())


def main(arguments: list[str] | None = None) -> int:
    """The command; its status is 1 where something is wrong, which is said in one line."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.public",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    fetching = commands.add_parser("fetch")
    fetching.add_argument("folder", type=Path)
    fetching.add_argument("name", nargs="*")
    commands.add_parser("pin")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "pin":
            pin()
        else:
            fetch(chosen.folder, chosen.name)
            if not chosen.name:
                setup.wheels(chosen.folder / "wheels")
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
