"""Images: found, downloaded, verified, and made into inputs of networks."""
