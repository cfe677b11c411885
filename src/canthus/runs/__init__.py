"""A run on disk: its record, its folder, its weights, whether to trust it, how it ends and goes on."""
