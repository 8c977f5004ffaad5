"""What feed and engine are held to, measured in one run on one machine; `ifd bench` shows it.

A benchmark is a module with a function `measure`, which takes a directory for its files and yields
measures. Speeds of different machines cannot be compared; ratios within one run can.
"""
