"""Which positions are looked at together: neighbours, groups and how much they overlap."""
