"""What data have to do with errors: noise of their choice, and estimates from levels of fewer examples."""
