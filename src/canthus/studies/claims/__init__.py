"""The papers' claims as configs: what is trained, what is measured, and what follows from it."""
