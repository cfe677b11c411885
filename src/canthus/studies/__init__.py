"""Questions that span several runs."""
