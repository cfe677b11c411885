"""Drawing: faces, curves, figures, and how images reach the disk."""
