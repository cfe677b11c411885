"""What every room may use: errors, files, escaping, locks, processes, nodes of configs."""
