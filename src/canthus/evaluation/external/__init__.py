"""Predictions that other tools made, and which of our faces they are of."""
