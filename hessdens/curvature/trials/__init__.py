"""What is tried out on a few examples before the first product: which engines are right, and what confirms them."""
