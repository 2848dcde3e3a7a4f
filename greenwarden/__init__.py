"""The roof: the command line, and the one place that joins the wings."""

__version__ = "0.1.0"
