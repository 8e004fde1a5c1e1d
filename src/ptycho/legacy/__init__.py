"""The one mutable dictionary of the older interface, and how to read it; only doors come here."""
