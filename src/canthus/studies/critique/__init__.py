"""What figures of landmark accuracy hide: poses, label noise, costs."""
