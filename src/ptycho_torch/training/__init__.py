"""How a network learns from a scan: the only room that knows Lightning."""
