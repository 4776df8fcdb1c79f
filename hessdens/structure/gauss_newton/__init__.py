"""The Gauss-Newton matrix from its Gram matrix of output gradients: exact, for any number of parameters."""
