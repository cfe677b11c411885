"""Whole images with all their faces, for methods that find faces."""
