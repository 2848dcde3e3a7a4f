"""Measured sets in the long form that ``greenwarden replay`` takes, each with a small devices.yaml and its labels."""
