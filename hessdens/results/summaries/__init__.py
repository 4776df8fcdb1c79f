"""Results as text, and as notebooks show them."""
