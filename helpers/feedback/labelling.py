"""A widget to label pairs with clicks or keys; every label is in the file before the next pair is
shown."""

from collections.abc import Sequence
from pathlib import Path

import anywidget
import traitlets

from helpers.data import Pair
from helpers.errors import CourseError
from helpers.feedback import labels
from helpers.feedback.labels import CHOICES, UNDONE, Label

HERE = Path(__file__).parent


class Labelling(anywidget.AnyWidget):
    """Pair after pair: arrow keys or clicks say which reply is better, backspace takes the last
    label back.

    Labels go to ``file``, one line each, under the name ``annotator``. What this annotator has
    labelled there already, in an earlier session or before the kernel was restarted, is not asked
    again. Raises CourseError if the file cannot be read.
    """

    _esm = HERE / "labelling.js"
    _css = HERE / "labelling.css"
    prompt = traitlets.Unicode().tag(sync=True)
    left = traitlets.Unicode().tag(sync=True)
    right = traitlets.Unicode().tag(sync=True)
    done = traitlets.Int().tag(sync=True)
    total = traitlets.Int().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)

    def __init__(self, pairs: Sequence[Pair], file: Path, annotator: str = "reader"):
        super().__init__()
        self.file, self.asked = file, labels.with_choices(pairs, [UNDONE] * len(pairs), annotator)
        counted, complaints = labels.read(file)
        known = {label.pair for label in counted if label.annotator == annotator}
        # What is labelled stands in front, so that ``done`` counts the labels and is the place of
        # the next pair.
        self.asked.sort(key=lambda label: label.pair not in known)
        self.total, self.done = len(self.asked), sum(label.pair in known for label in self.asked)
        self.message = "; ".join(complaints) or f"labels are saved in {file.name}"
        self.on_msg(lambda _, content, buffers: self._heard(content))
        self._show()

    def click(self, choice: str) -> None:
        """Labels the pair that is shown "left", "right" or "tie", or with "undo" takes back the
        label before it."""
        step = -1 if choice == "undo" else 0
        if choice not in (*CHOICES, "undo") or not 0 <= self.done + step < self.total:
            return
        shown = self.asked[self.done + step]
        label = UNDONE if choice == "undo" else choice
        try:
            labels.append(
                self.file, Label(shown.prompt, shown.left, shown.right, label, shown.annotator)
            )
        except CourseError as error:
            self.message = str(error)
            return
        with self.hold_sync():
            self.done += step or 1
            self.message = (
                f"{'taken back' if choice == 'undo' else choice}: saved in {self.file.name}"
            )
            self._show()

    def _heard(self, content: dict) -> None:
        if content.get("shown") == self.done:
            self.click(content.get("choice"))

    def _show(self) -> None:
        if self.done < self.total:
            shown = self.asked[self.done]
            self.prompt, self.left, self.right = shown.prompt, shown.left, shown.right
