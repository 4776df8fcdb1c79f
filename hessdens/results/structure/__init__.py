"""Results that say where in a matrix its size lies: entries, layers, and blocks."""
