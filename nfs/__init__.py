"""NFSv3 and its companions: a door to trees of the store."""
