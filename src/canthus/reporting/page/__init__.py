"""The page of several runs: what was found in their folders, which of it compares, and the HTML, Markdown and csv."""
