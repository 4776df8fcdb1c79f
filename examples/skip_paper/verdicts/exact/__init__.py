"""The paper's exact statements, computed: whether each holds as it is stated, and under which condition it does."""
