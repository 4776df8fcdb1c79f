"""The fastest way to make products within a memory, found on the work itself."""
