"""Every notebook is stored as its readers should find it: run from top to bottom, clean, short, and described in words."""

import ast
import builtins
import importlib.util
import re
from html import unescape
from statistics import median

import course
import nbformat
import pytest

from helpers import scoreboard

ROOT = course.ROOT
MACHINE_PATHS = re.compile(r"/work/|/tmp/|/home/|/root/|/Users/|site-packages|C:\\")


def test_the_readme_lists_every_notebook_of_the_course():
    assert course.NOTEBOOKS
    if course.git("ls-files"):
        assert set(course.tracked("notebooks/*.ipynb")) == set(course.NOTEBOOKS)


@pytest.fixture(params=course.NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    if not course.is_own(request.param):
        pytest.skip("changed by who has worked in it; to test it all the same: git add it")
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


def tree(cell):
    """The syntax of a cell without its magics."""
    return ast.parse("\n".join("pass" if line.startswith(("%", "!")) else line for line in cell.source.splitlines()))


def test_the_format_is_valid(notebook):
    nbformat.validate(notebook)


def test_every_code_cell_was_run_once_in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)) and counts
    assert all(lines(cell) for cell in code_cells(notebook))


def test_no_output_is_an_error_or_a_warning(notebook):
    assert [output for output in outputs(notebook) if output.output_type == "error"] == []
    streams = [output.text for output in outputs(notebook) if output.get("name") == "stderr"]
    assert [text for text in streams if "Warning" in text or "Traceback" in text] == []


def test_a_mark_for_checked_outputs_stands_alone_on_its_line(notebook):
    marked = [line for cell in code_cells(notebook) for line in cell.source.splitlines() if "NBVAL" in line]
    assert [line for line in marked if line != "# NBVAL_CHECK_OUTPUT"] == []


def test_no_path_of_a_machine_is_left(notebook):
    texts = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        texts += [output.get("text", ""), *(str(text) for kind, text in output.get("data", {}).items() if "image" not in kind)]
    assert [text for text in texts if MACHINE_PATHS.search(text)] == []


def test_no_state_of_widgets_is_left(notebook):
    assert "widgets" not in notebook.metadata
    assert [output for output in outputs(notebook) if any("widget" in kind for kind in output.get("data", {}))] == []


def test_cells_are_short(notebook):
    lengths = [len(lines(cell)) for cell in code_cells(notebook)]
    assert median(lengths) <= 8
    assert max(lengths) <= 30


def written_lines(notebook):
    """Lines of code that a reader reads: all but those of the set-up cell, which is written by ``helpers.publish``."""
    return [line for cell in code_cells(notebook) if cell.id != "set-up" for line in lines(cell)]


def test_code_is_read_at_sight(notebook):
    widths = [len(line) for line in written_lines(notebook)]
    assert max(widths) <= 100
    assert sum(width > 88 for width in widths) <= 0.03 * len(widths)


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def comprehensions(node):
    return [child for child in ast.walk(node) if isinstance(child, COMPREHENSIONS)]


def nested_in_a_drawing(node):
    """Calls of ``show`` in which a comprehension holds another one."""
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and ast.unparse(n.func).startswith("show.")]
    return [ast.unparse(call) for call in calls if any(len(comprehensions(c)) > 1 for c in comprehensions(call))]


def test_comprehensions_are_few_and_none_is_nested_in_a_call_that_draws(notebook):
    trees = [tree(cell) for cell in code_cells(notebook) if cell.id != "set-up"]
    assert sum(len(comprehensions(t)) for t in trees) <= 25
    assert [call for t in trees for call in nested_in_a_drawing(t)] == []
    deepest = [len(comprehensions(c)) for t in trees for c in comprehensions(t)]
    assert max(deepest, default=0) <= 2
    assert nested_in_a_drawing(ast.parse("show.table([[f(y) for y in x] for x in z])"))


#: Terms of the field. Where one first occurs in the course it is set in bold, with its meaning beside it, or in italics, which
#: the glossary explains.
TERMS = (
    "token", "logits", "likelihood", "temperature", "top-k", "top-p", "nat", "confidence interval", "zero-shot",
    "in-context learning", "attention head", "baseline", "loss", "perplexity", "cross-entropy", "forward pass",
    "backward pass", "corpus", "byte pair encoding", "embedding", "tied embeddings", "non-embedding parameters",
    "activations", "bfloat16", "FLOPs", "gradient", "optimizer", "learning rate", "batch", "warm-up", "checkpoint",
    "demonstrations", "SFT", "overfitting", "epoch", "early stopping", "catastrophic forgetting", "mixed precision",
    "adapter",
    "merging", "chat template", "control tokens", "gold", "reward model", "calibrated", "KL divergence", "policy",
    "reference",
    "proxy", "entropy", "over-optimisation",
)  # fmt: skip


def running_text(notebook):
    """The text of a notebook in one line, without its first cell, headings, formulas, code and addresses."""
    cells = [cell.source for cell in notebook.cells[1:] if cell.cell_type == "markdown"]
    text = re.sub(r"^#.*$", "", "\n".join(cells), flags=re.MULTILINE)
    return " ".join(re.sub(r"\$[^$]*\$|`[^`]*`|\]\([^)]*\)", "", text).split())


def test_terms_are_explained_where_they_first_occur():
    glossary = (ROOT / "notebooks" / "GLOSSARY.md").read_text(encoding="utf-8").lower()
    text = " ".join(running_text(nbformat.read(path, as_version=4)) for path in course.NOTEBOOKS)
    plain = []
    for term in TERMS:
        found = re.search(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", text, re.IGNORECASE)
        around = text[max(0, found.start() - 30) : found.end() + 30]
        if not re.search(rf"\*[^*]*{re.escape(term)}[^*]*\*", around, re.IGNORECASE):
            plain.append((term, around))
    assert plain == []
    assert [term for term in TERMS if term.lower() not in glossary] == []


#: How the course once put it, and does not any more: stiff, or a word of its own where the field has one.
ONCE = (
    "In brackets stands the", "must give what the library's", "what else than its kind", "what only prose told",
    "word that stood beside", "A name does without examples", "if under other labels", "One row a layer, one column a head",
    "times the time of none", "query more than ten times as long", "Between the two columns lies",
    "the first honest difference",
    "with the word behind them", "beyond them deserves the name", "is work for nothing", "beside the embeddings",
    "the numbers that every position has", "right about once in 140", "stands in prose only", "with something behind it",
    "In kind, hardly", "of a kind it never saw", "lists of headlines it has never seen", "probable behind the headline",
    "pretraining gone on", "Behind the label comes", "With it now the comparison", "not to be found in them by a network",
    "falls on,", "has it paid?", "as full finetuning did it", "LoRA bears", "now one keeps better", "and take it out again",
    "go from seven times a T4", "goes on with a question", "to be asked, not facts", "taught the model to be asked",
    "shall say itself", "Read it from above", "learned by heart instead of", "each sentence too many", "agreed in",
    "sees manners, and hardly facts", "a judge that guesses", "bits a byte", "drawn anew",
)  # fmt: skip


def test_old_turns_of_phrase_are_gone():
    texts = {path.name: running_text(nbformat.read(path, as_version=4)).lower() for path in course.NOTEBOOKS}
    assert [(name, phrase) for name, text in texts.items() for phrase in ONCE if phrase.lower() in text] == []


def test_the_readme_is_one_page():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.sub(r"<!-- badges -->.*<!-- /badges -->", "", readme, flags=re.DOTALL)
    assert len(shown.splitlines()) <= 90


def unseen_tables(code):
    """Tables that are made and not shown: not the last thing of a cell, and not displayed."""
    statements = ast.parse(code)
    calls = [node for node in ast.walk(statements) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    tables = [node for node in calls if ast.unparse(node.value.func) in ("show.table", "show.scoreboard")]
    return [ast.unparse(node) for node in tables if node is not statements.body[-1]]


def test_every_table_is_seen(notebook):
    assert [table for cell in code_cells(notebook) if cell.id != "set-up" for table in unseen_tables(cell.source)] == []
    assert unseen_tables("show.table(a)\nif x:\n    show.table(b)\nshow.table(c)") == ["show.table(a)", "show.table(b)"]


def test_every_picture_has_alternative_text(notebook):
    missing = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            for kind in [kind for kind in output.get("data", {}) if kind.startswith("image/")]:
                about = output.metadata
                if not (about.get(kind, {}).get("alt") or about.get("alt")):
                    missing.append(cell.source)
    assert missing == []


def test_the_alternative_text_of_every_picture_is_on_the_page(notebook):
    for data in [output.data for output in outputs(notebook) if "image/png" in output.get("data", {})]:
        alt = unescape(re.search(r'<img alt="(.+?)"', data["text/html"])[1])
        assert alt == data["text/plain"] and len(alt) > 20


def test_no_output_is_a_table_that_cannot_be_read_as_text(notebook):
    texts = [output.data["text/plain"] for output in outputs(notebook) if "text/html" in output.get("data", {})]
    assert [text for text in texts if text.startswith("<")] == []


def rows_of_scoreboard(html):
    """Rows of a scoreboard drawn as HTML: stage to column to what stands there."""
    rows = re.findall("(?s)<tr.*?</tr>", html)
    cells = [[unescape(cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)] for row in rows]
    return {row[0]: dict(zip(cells[0][1:], row[1:], strict=True)) for row in cells[1:]}


def scoreboards(notebook):
    tables = [output.data.get("text/html", "") for output in outputs(notebook) if "data" in output]
    return [rows_of_scoreboard(html) for html in tables if "Scoreboard" in html]


def test_all_notebooks_show_one_scoreboard_and_none_a_row_that_only_a_later_one_makes():
    seen, made = {}, []
    for path in course.NOTEBOOKS:
        if not course.is_own(path):
            pytest.skip(f"{path.name} was changed by who has worked in it")
        notebook = nbformat.read(path, as_version=4)
        recording = "".join(cell.source for cell in code_cells(notebook) if "scoreboard.record(" in cell.source)
        made += [stage for stage in scoreboard.STAGES if f'"{stage}"' in recording]
        assert scoreboards(notebook), path.name
        for rows in scoreboards(notebook):
            assert list(rows) == [stage for stage in scoreboard.STAGES if stage in made], path.name
            for stage, row in rows.items():
                measured = {column: rate for column, rate in row.items() if rate != "–"}
                assert seen.setdefault(stage, measured) == measured, (path.name, stage)
    assert sorted(made) == sorted(scoreboard.STAGES)  # each by one notebook


def test_every_picture_in_the_text_has_alternative_text(notebook):
    texts = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.findall(r"!\[\s*\]\(.*?\)|<img(?![^>]*alt=[\"'][^\"'])[^>]*>", texts) == []


def test_the_file_is_below_one_and_a_half_megabytes(path):
    assert path.stat().st_size < 1.5e6


def test_it_builds_on_the_helpers(notebook):
    nodes = [node for cell in code_cells(notebook) for node in ast.walk(tree(cell)) if isinstance(node, ast.ImportFrom)]
    assert any((node.module or "").split(".")[0] == "helpers" for node in nodes)


def unknown(code: str) -> set[str]:
    """Names that a Python text reads and nowhere makes: what only a notebook's kernel would know."""
    nodes = list(ast.walk(ast.parse(code)))
    made = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    made |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    made |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    imports = [alias for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    made |= {alias.asname or alias.name.partition(".")[0] for alias in imports}
    return {node.id for node in nodes if isinstance(node, ast.Name)} - made - set(dir(builtins))


def test_exported_as_a_script_it_has_all_its_names(notebook):
    code = "\n".join(cell.source for cell in code_cells(notebook))
    assert unknown(code) == set()  # a magic would not even be Python
    assert unknown("display(x)\nfor y in range(3): print(y)\n[z for z in y]") == {"display", "x"}


def test_it_defines_nothing_that_a_helper_is_called(notebook):
    kinds = (ast.FunctionDef, ast.ClassDef)
    helpers = {
        node.name: path.name
        for path in course.tracked("helpers/**/*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, kinds) and not node.name.startswith("_")
    }
    defined = [node.name for cell in code_cells(notebook) for node in ast.walk(tree(cell)) if isinstance(node, kinds)]
    assert {name: helpers[name] for name in defined if name in helpers} == {}


def test_it_ends_every_markdown_link_to_a_file_at_a_file(path, notebook):
    texts = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", texts) if "://" not in link]
    assert [link for link in links if link and not link.startswith("attachment:") and not (path.parent / link).exists()] == []


def test_the_commands_and_files_of_the_readme_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    modules = set(re.findall(r"python3? -m ([\w.]+)", readme))
    assert "venv" in modules
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []
    files = {*re.findall(r"[\w./-]+\.ipynb", readme), *re.findall(r"\]\(([^)#:\s]+)\)", readme)}
    assert files and [file for file in files if not (ROOT / file).exists()] == []
    options = set(re.findall(r"python -m helpers\.pretrain.*?(--[\w-]+)", readme)) | {"--size"}
    assert [option for option in options if option not in (ROOT / "helpers" / "pretrain.py").read_text(encoding="utf-8")] == []
