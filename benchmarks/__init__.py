"""What a core does, as ratios to a floor that is measured in the same run."""
