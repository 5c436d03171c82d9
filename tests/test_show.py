"""Figures draw what they are given, with axes and words of their own; so do tables, also what looks like a tag."""

from base64 import b64decode
from html import escape
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import show
from helpers.show import pictures
from helpers.stats import Mean, Rate

FEW, MANY = Rate.of([1, 0, 0, 0]), Rate.of([1, 1, 1, 0])


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_curves_of_rates_have_bands_percent_chance_and_a_legend(ax):
    said = show.Curves({"ours": [FEW, MANY], "theirs": [MANY, MANY]}, (1, 10), "labels", "right", chance=0.5).draw(ax)
    assert said == "right against labels. ours: 25%, 75%; theirs: 75%, 75%."
    assert [line.get_label() for line in ax.get_lines()] == ["ours", "theirs", "chance"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_ylim()) == ("labels", "right", (-0.02, 1.02))
    assert len(ax.collections) == 2 and ax.get_legend() is not None
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(FEW.low) and band.max() == pytest.approx(MANY.high)
    assert ax.yaxis.get_major_formatter()(0.5) == "50%"


def test_one_curve_of_numbers_has_neither_band_nor_legend_and_begins_at_zero(ax):
    said = show.Curves({"loss": np.linspace(5, 1, 40)}, range(40), "step", "loss (nats)").draw(ax)
    assert said == "loss (nats) against step. loss: 5 to 1."
    assert not ax.collections and ax.get_legend() is None and ax.get_ylim()[0] == 0
    assert ax.get_lines()[0].get_marker() in ("None", None)  # so many markers would hide the line


def test_values_of_x_stand_where_they_are_or_at_equal_distances(ax):
    show.Curves({"a": [1, 2, 3]}, (0, 1, 16), even=True).draw(ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "1", "16"] and list(ax.get_xticks()) == [0, 1, 2]
    fig, other = plt.subplots()
    show.Curves({"a": [1, 2, 3]}, (10, 100, 5000), log="x").draw(other)
    assert other.get_xscale() == "log" and other.get_xticklabels()[-1].get_text() == "5,000"
    assert list(other.get_lines()[0].get_xdata()) == [10, 100, 5000]
    plt.close(fig)


def test_points_guides_levels_and_marks_are_drawn_and_said(ax):
    options = {"points": {"models": ([1, 2], [3, 4])}, "guides": {"fit": ([1, 2], [3, 4])}, "levels": {"best": 2.0}}
    said = show.Curves({"own": ([1, 2, 3], [4, 5, 6])}, marks={"here": 2}, xlim=(0, 9), ylim=(1, 7), **options).draw(ax)
    assert all(name in said for name in ("own: 4, 5, 6", "models", "fit", "best", "here"))
    assert {line.get_label() for line in ax.get_lines()} == {"own", "models", "fit", "best", "here"}
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 9), (1, 7))


def test_bars_stand_in_their_order_with_intervals_and_groups(ax):
    said = show.Bars({"before": FEW, "after": MANY}, "right", striped=("after",)).draw(ax)
    assert said == "Bars, right. before: 25%; after: 75%."
    assert [round(bar.get_width(), 2) for bar in ax.patches] == [0.25, 0.75] and ax.patches[1].get_hatch() == "//"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["before", "after"] and ax.yaxis_inverted()
    assert len(ax.containers) == 4  # of each a bar and its interval
    fig, other = plt.subplots()
    grouped = show.Bars({"1 B": {"full": 15, "LoRA": 3}, "7 B": {"full": 104, "LoRA": 14}}, "GiB", log=True, marks={"T4": 15})
    assert grouped.draw(other) == "Bars, GiB. 1 B: full 15, LoRA 3; 7 B: full 104, LoRA 14."
    heights = [round(bar.get_y() + bar.get_height() / 2, 1) for bar in other.patches]
    assert heights == [-0.2, 0.2, 0.8, 1.2] and [t.get_text() for t in other.get_legend().get_texts()] == ["full", "LoRA"]
    plt.close(fig)


def test_a_small_grid_holds_its_numbers_and_a_large_one_a_scale(ax):
    said = show.Heat([[9, 1], [2, 8]], "chosen", "right", "base", columns=("good", "bad"), rows=("good", "bad")).draw(ax)
    assert said == "base, right by chosen: good [9, 1]; bad [2, 8]."
    assert [text.get_text() for text in ax.texts] == ["9", "1", "2", "8"]
    fig, other = plt.subplots()
    large = show.Heat(np.eye(10), "to", "from", "head", squares={"place": ([1], [2])}).draw(other)
    assert large == "head: from by to, 10 x 10." and not other.texts and other.get_legend() is not None
    plt.close(fig)


def test_dots_show_a_spread(ax):
    said = show.Dots({"set 1": [0.2, 0.4], "set 2": [0.5, 0.9]}, "accuracy", "set", chance=1 / 3).draw(ax)
    assert said == "set, accuracy. set 1: 0.2 to 0.4; set 2: 0.5 to 0.9."
    assert list(ax.get_lines()[1].get_xdata()) == [0.5, 0.9]


def test_a_figure_is_one_picture_with_what_all_its_panels_say(monkeypatch):
    shown = []
    monkeypatch.setattr(pictures, "display", shown.append)
    show.panels(show.Curves({"a": [1, 2]}, (1, 2), "x", "y"), show.Bars({"b": Mean.of([1, 3])}, "z"), alt="Two.")
    (image,) = shown
    assert image.alt == "Two. y against x. a: 1, 2. Bars, z. b: 2." and image.png.startswith(b"\x89PNG")
    assert not plt.get_fignums()
    for call in (show.curves, show.bars, show.dots):
        call({"a": [1.0, 2.0]} if call is not show.bars else {"a": 1.0})
    show.heat([[1, 2], [3, 4]], columns=("a", "b"), rows=("c", "d"))
    assert len(shown) == 5


def test_a_picture_has_its_alternative_text_on_the_page_and_as_text():
    fig, _ = plt.subplots()
    data, metadata = pictures.Picture(fig, 'falls "fast" <here>')._repr_mimebundle_()
    plt.close(fig)
    assert 'alt="falls &quot;fast&quot; &lt;here&gt;"' in data["text/html"] and data["text/plain"] == 'falls "fast" <here>'
    assert metadata["image/png"]["alt"] == data["text/plain"]
    assert b64decode(data["image/png"]).startswith(b"\x89PNG") and data["image/png"] in data["text/html"]


class State:
    global_step, max_steps = 5, 10


def test_a_curve_that_is_drawn_again_begins_anew(monkeypatch):
    shown = []
    monkeypatch.setattr(pictures, "display", lambda image, **options: shown.append(image))
    curve = show.LiveCurve("a run", {"unigram": 3.0})
    for losses in ((5.0, 4.0), (3.0, 2.0)):
        curve.on_train_begin(None, State, None)
        for loss in losses:
            curve.on_log(None, State, None, logs={"loss": loss})
        curve.on_train_end(None, State, None)
    assert curve.losses == [3.0, 2.0] and len(curve.steps) == 2
    assert ["training loss: 5, 4" in image.alt for image in shown] == [True, False]
    assert "unigram" in shown[0].alt


# Tables


def test_a_table_shows_special_tokens_as_they_are():
    html = show.table([{"said": "Paris.<|end|>", "n": 3}], "<caption>").data
    assert "Paris.&lt;|end|&gt;" in html and "<|end|>" not in html and "&lt;caption&gt;" in html
    assert html.count("<td") == 2


def test_a_table_takes_columns_as_well_as_rows(course_error):
    rows = [{"question": "one?", "n": 1}, {"question": "two?", "n": 2}]
    columns = {"question": ["one?", "two?"], "n": (1, 2)}
    assert show.table(columns, "C").data == show.table(rows, "C").data
    by_name = {"one?": {"n": 1}, "two?": {"n": 2}}
    assert show.table(by_name, "C", index="question").data == show.table(rows, "C").data
    with course_error("different lengths", "question", "2", "1"):
        show.table({"question": ["one?", "two?"], "n": [1]})


def test_a_table_can_be_read_as_text_and_nothing_of_it_is_cut_off():
    long = "word " * 100
    text = repr(show.table([{"said": long, "share": Rate.of([1, 0])}], "A caption"))
    assert text.startswith("A caption\n") and long.strip() in text and "50% [9%, 91%]" in text


def test_the_dollars_of_a_table_are_no_mathematics():
    assert "mathjax_ignore" in show.table([{"price": "from $5 million to $6 million"}]).data


@pytest.mark.parametrize("nothing", [[], {}, {"a": []}])
def test_a_table_without_rows_is_said(course_error, nothing):
    with course_error("rows of a table"):
        show.table(nothing)


def test_a_scoreboard_says_what_its_columns_mean():
    board = {"base": {"grammar": Rate.of([1, 0]), "my own": Rate.of([1, 1])}, "live medium": {}}
    table = show.scoreboard(board)
    assert "the right sentence of a pair" in table.data and "medical" not in table.data
    assert repr(table).split("\n")[1].split() == ["stage", "grammar", "my", "own"]
    assert repr(show.scoreboard({})).endswith("nothing measured yet")


def test_every_diagram_is_there_in_words_and_legible_on_any_ground():
    files = {path.stem: path for path in pictures.Path(pictures.__file__).parent.glob("diagrams/*.svg")}
    assert set(files) == set(pictures.DIAGRAMS)
    for name, path in files.items():
        root = ElementTree.parse(path).getroot()
        ground = root[0]
        assert (ground.get("fill"), ground.get("width")) == ("#ffffff", root.get("viewBox").split()[2]), name
        assert "href" not in path.read_text(encoding="utf-8")  # nothing is fetched
        data, _ = pictures.Diagram(name)._repr_mimebundle_()
        assert f'alt="{escape(pictures.DIAGRAMS[name])}"' in data["text/html"]
