"""What several figures share, and models too long for the figure's own file."""
