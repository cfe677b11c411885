"""The methods: one folder each, on a shared base."""
