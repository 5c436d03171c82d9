"""What a notebook shows: figures and tables by one call each, with axes, units and alternative
texts.

``curves``, ``bars``, ``heat`` and ``dots`` draw one panel; ``panels(Curves(...), Bars(...))``
several side by side. From bottom to top:

    panels    what is drawn, and what it says of itself
    pictures  a figure on the page, and a loss curve that draws itself
    tables    tables, and the scoreboard
"""

from helpers.show.panels import Bars, Curves, Dots, Heat
from helpers.show.pictures import LiveCurve, bars, curves, diagram, dots, heat, panels, picture
from helpers.show.tables import scoreboard, table

__all__ = ["Bars", "Curves", "Dots", "Heat", "LiveCurve", "bars", "curves", "diagram", "dots"]
__all__ += ["heat", "panels", "picture", "scoreboard", "table"]
