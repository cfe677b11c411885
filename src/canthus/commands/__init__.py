"""One module per command, and what turns the words of a command line into a running job."""
