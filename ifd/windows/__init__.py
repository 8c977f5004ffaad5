"""Pressure of each instrument in tumbling windows of event time, and bars of the futures.

The facts are here; `ifd.windows.stage` makes them, and loads the compiler.
"""

from ifd.windows.facts import (
    FAR,
    RECENT_WINDOWS,
    WINDOW_COLUMNS,
    Bar,
    BookFault,
    ClosedWindows,
    InstrumentFlow,
    OpenWindow,
    PressureWindow,
    open_window,
)

__all__ = [
    "FAR",
    "RECENT_WINDOWS",
    "WINDOW_COLUMNS",
    "Bar",
    "BookFault",
    "ClosedWindows",
    "InstrumentFlow",
    "OpenWindow",
    "PressureWindow",
    "open_window",
]
