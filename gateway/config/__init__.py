"""Configuration: YAML that remembers the place of every value, shapes, cross references."""
