"""Tables show what they are given, also what looks like a tag."""

from helpers import plots


def test_a_table_shows_special_tokens_as_they_are():
    html = plots.table([{"said": "Paris.<|end|>", "n": 3}], "<caption>").data
    assert "Paris.&lt;|end|&gt;" in html and "<|end|>" not in html
    assert html.count("<td") == 2
