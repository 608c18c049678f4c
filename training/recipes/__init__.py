"""Recipes: everything that tells one training from another, one TOML file per row of results."""
