"""Puts the course online under an owner's name: ``python -m helpers.publish OWNER/REPO TAG``, then
commit, tag, push.

Every notebook gets badges that open it in Colab and Kaggle, a set-up cell that fetches the course
at this very tag, and both names in its metadata; the README gets the badges too. All of it is
written here and nowhere else, so nothing is left of an earlier owner. This is the one module of the
course that knows its notebooks.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat

from helpers import files

ROOT = Path(__file__).parent.parent
#: The README's badges stand between these lines. Before anything is published there are none: a
#: dead link is worse than none.
MARKS = "<!-- badges -->\n", "<!-- /badges -->\n"
BADGES = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{repository}/blob/{tag}/notebooks/{file}) "
    "[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]"
    "(https://www.kaggle.com/notebooks/welcome?src="
    "https://github.com/{repository}/blob/{tag}/notebooks/{file})"
)
#: Notebooks that run on real models too, and what their first line says; what that of others says.
REAL = ("01", "03", "05")
PROFILE = (
    'PROFILE = ""  # "tiny": planted world; "real": real models; "": real if a host lends a GPU'
)
PROFILE_TINY = 'PROFILE = "tiny"  # the planted world; real models are in notebooks 01, 03 and 05'
#: The first code cell of every notebook. It looks for the course around the script that it is, or
#: the folder that it runs in; where an earlier run found it; where Jupyter says that the notebook
#: is; beside it; where papermill was told that it is. A hosted notebook fetches it: into a folder
#: of its own, which is then renamed.
SET_UP = r"""
<profile>
import os, re, subprocess, sys; from pathlib import Path; FETCH, HELP = "<fetch>", "<help>"
names = [{**os.environ, **globals()}.get(name, ".") for name in ("__file__", "COURSE_ROOT", "JPY_SESSION_NAME")] + ["course"]
for by in Path("/proc").glob(f"{os.getppid()}/cmdline"): names += re.findall(r"[^\0'\"]+[.]ipynb", os.fsdecode(by.read_bytes()))
root = next((p for n in names for p in Path(n, "_").absolute().parents if (p / "helpers/publish.py").is_file()), Path("course"))
hosted = {"google.colab", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE", "KAGGLE_URL_BASE"} & {*os.environ, *sys.modules}
said = subprocess.getoutput(FETCH).split() if hosted and not root.exists() else []
if not (root / "helpers").is_dir(): sys.exit(" ".join(["The course is not here.", *said, HELP]))
sys.path.insert(0, str(root.absolute())); from helpers import setup; setup.ready("<tag>", PROFILE)
"""  # noqa: E501
CLONE = "git clone -q --depth 1 --branch {tag} https://github.com/{repository}"
FETCH = "d=$(mktemp -dp .) && " + CLONE + " $d/c && mv -T $d/c course; rm -rf $d"
HELP = "Open this notebook where it belongs, in the folder notebooks of a copy of the course."
HELP_ONLINE = (
    "In a terminal here: "
    + CLONE
    + " course (Is the network on? Kaggle: Settings, Internet. Is the tag there?)"
)


def set_up(file: str, repository: str = "", tag: str = "") -> str:
    """The set-up cell of a notebook; without a repository the one of a course that nobody has
    published."""
    fetch, remedy = (FETCH, HELP_ONLINE) if repository else ("", HELP)
    cell = SET_UP.strip().replace("<fetch>", fetch).replace("<help>", remedy).replace("<tag>", tag)
    cell = cell.replace("<profile>", PROFILE if file.startswith(REAL) else PROFILE_TINY)
    return cell.replace("{tag}", tag).replace("{repository}", repository)


def badges(file: str, repository: str, tag: str) -> str:
    """Links in Markdown that open a notebook in Colab and in Kaggle."""
    return BADGES.format(file=file, repository=repository, tag=tag)


def stamp(notebook: nbformat.NotebookNode, file: str, repository: str, tag: str) -> None:
    """Puts badges, set-up cell and metadata into a notebook, in place of those that it has."""
    cells = [cell for cell in notebook.cells if cell.id != "badges"]
    place = next(number for number, cell in enumerate(cells) if cell.id == "set-up")
    cells[place].source = set_up(file, repository, tag)
    cells[place].metadata["jupyter"] = {"source_hidden": True}  # folded: nothing to read there
    shown = nbformat.v4.new_markdown_cell(badges(file, repository, tag), id="badges")
    notebook.cells = [*cells[:place], shown, *cells[place:]]
    notebook.metadata["course"] = {"repository": repository, "tag": tag}
    notebook.metadata["colab"] = {"provenance": []}


def with_badges(readme: str, names: list[str], repository: str, tag: str) -> str:
    """The README's text with a line of badges for each notebook, in place of those that it has."""
    before, _, rest = readme.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    lines = "".join(f"- {name[:2]} {badges(name, repository, tag)}\n" for name in names)
    return f"{before}{MARKS[0]}\n{lines}\n{MARKS[1]}{after}"


def of_owner(job: str, repository: str, tag: str) -> str:
    """A job file that takes the course from this repository at this tag, and keeps what it makes in
    buckets of this owner."""
    owner = repository.partition("/")[0]
    job = re.sub(
        r"url: \S+, ref: [^}\s]+", f"url: https://github.com/{repository}, ref: {tag}", job
    )
    job = re.sub(r"hf://buckets/[^/]+/", f"hf://buckets/{owner}/", job)
    return re.sub(r"name: \S+-pretraining\b", f"name: {owner.lower()}-pretraining", job)


def main(arguments: list[str] | None = None) -> None:
    """The command ``python -m helpers.publish``. Nothing is written unless everything can be
    stamped."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.publish", description="Puts the course online under your name."
    )
    parser.add_argument("repository", metavar="OWNER/REPO", help="where it will be on GitHub")
    parser.add_argument(
        "tag", metavar="TAG", help="the version that the notebooks will fetch, for example v1.0"
    )
    options = parser.parse_args(arguments)
    if not re.fullmatch(
        r"[A-Za-z0-9][A-Za-z0-9-]*/(?!\.+$)[A-Za-z0-9_.-]+(?<!\.git)", options.repository
    ):
        sys.exit(f"error: {options.repository!r} is not OWNER/REPO, for example ada/llm-course")
    if not re.fullmatch(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.-]*(?<!\.)(?<!\.lock)", options.tag):
        sys.exit(
            f"error: {options.tag!r} cannot be a tag here; take letters, digits, points and "
            "dashes, for example v1.0"
        )
    readme, texts = (ROOT / "README.md").read_text(encoding="utf-8"), {}
    if not all(mark in readme for mark in MARKS):
        sys.exit(
            f"error: README.md: the lines {MARKS[0].strip()} and {MARKS[1].strip()} are gone; put "
            "them back"
        )
    # Others are the reader's own.
    for name in re.findall(r"\(notebooks/([\w.-]+\.ipynb)\)", readme):
        try:
            notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
            stamp(notebook, name, options.repository, options.tag)
            texts[ROOT / "notebooks" / name] = nbformat.writes(notebook) + "\n"
        except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
            reason = type(error).__name__
            sys.exit(
                f"error: {name} cannot be stamped ({reason}); restore it (git checkout), then "
                "publish again"
            )
    texts[ROOT / "README.md"] = with_badges(
        readme, [path.name for path in texts], options.repository, options.tag
    )
    notebooks = len(texts) - 1
    for path in sorted((ROOT / "notebooks" / "jobs").glob("*.[sy]*")):
        job = path.read_text(encoding="utf-8")
        texts[path] = of_owner(job, options.repository, options.tag)
    for path, text in texts.items():
        try:
            files.write(path, text)
        except OSError as error:
            sys.exit(f"error: {files.cannot_write(path, error)}")
    print(
        f"{notebooks} notebooks, the README and the job files are stamped {options.repository} "
        f"{options.tag}. Now:"
    )
    tag = options.tag
    print(f'git commit -am "Publish {tag}" && git tag {tag} && git push origin HEAD {tag}')


if __name__ == "__main__":
    main()
