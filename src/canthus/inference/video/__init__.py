"""Landmarks in videos and from cameras: frames, tracking, smoothing, annotated films."""
