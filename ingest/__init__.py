"""Load files of customer events into Blueshift, with every record accounted for."""

__version__ = "0.1.0"
