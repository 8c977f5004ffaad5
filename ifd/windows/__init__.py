"""Pressure of each instrument in tumbling windows of event time, and bars of the futures."""

from ifd.windows.facts import Bar, OpenBar, OpenWindow, PressureWindow
from ifd.windows.flow import FAR, RECENT_WINDOWS, InstrumentFlow
from ifd.windows.stage import WindowStage

__all__ = [
    "FAR",
    "RECENT_WINDOWS",
    "Bar",
    "InstrumentFlow",
    "OpenBar",
    "OpenWindow",
    "PressureWindow",
    "WindowStage",
]
