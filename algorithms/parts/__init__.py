"""Mathematics that several methods share: losses, mixtures, mixing, tables of losses, two networks."""
