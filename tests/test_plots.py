"""Tables show what they are given, also what looks like a tag."""

from base64 import b64decode

from helpers import plots
from helpers.stats import Rate


def test_a_table_shows_special_tokens_as_they_are():
    html = plots.table([{"said": "Paris.<|end|>", "n": 3}], "<caption>").data
    assert "Paris.&lt;|end|&gt;" in html and "<|end|>" not in html and "&lt;caption&gt;" in html
    assert html.count("<td") == 2


def test_a_table_can_be_read_as_text_and_nothing_of_it_is_cut_off():
    long = "word " * 100
    text = repr(plots.table([{"said": long, "share": Rate.of([1, 0])}], "A caption"))
    assert text.startswith("A caption\n") and long.strip() in text and "50% [9%, 91%]" in text


def test_the_dollars_of_a_table_are_no_mathematics():
    assert "mathjax_ignore" in plots.table([{"price": "from $5 million to $6 million"}]).data


def test_a_table_without_rows_is_said(course_error):
    with course_error("rows of a table"):
        plots.table([])


def test_a_scoreboard_says_what_its_columns_mean():
    board = {"base": {"grammar": Rate.of([1, 0]), "my own": Rate.of([1, 1])}, "live medium": {}}
    table = plots.scoreboard(board)
    assert "the right sentence of a pair" in table.data and "medical" not in table.data
    assert repr(table).split("\n")[1].split() == ["stage", "grammar", "my", "own"]
    assert repr(plots.scoreboard({})).endswith("nothing measured yet")


def test_a_picture_has_its_alternative_text_on_the_page_and_as_text():
    fig, ax = plots.figure()
    ax.plot([1, 2], [3, 4])
    data, metadata = plots.Picture(fig, 'falls "fast" <here>')._repr_mimebundle_()
    assert 'alt="falls &quot;fast&quot; &lt;here&gt;"' in data["text/html"] and data["text/plain"] == 'falls "fast" <here>'
    assert metadata["image/png"]["alt"] == data["text/plain"]
    assert b64decode(data["image/png"]).startswith(b"\x89PNG") and data["image/png"] in data["text/html"]


class State:
    global_step, max_steps = 5, 10


def test_a_curve_that_is_drawn_again_begins_anew(monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "display", lambda image, **options: shown.append(image))
    curve = plots.LiveCurve("a run", {"unigram": 3.0})
    for losses in ((5.0, 4.0), (3.0, 2.0)):
        curve.on_train_begin(None, State, None)
        for loss in losses:
            curve.on_log(None, State, None, logs={"loss": loss})
        curve.on_train_end(None, State, None)
    assert curve.losses == [3.0, 2.0] and len(curve.steps) == 2
    assert [image.alt for image in shown] == [f"Training loss over steps, {a} at first, {a - 1:.2f} now." for a in (5.0, 3.0)]
