"""From an image to points: boxes, crops, a trained model, files of points."""
