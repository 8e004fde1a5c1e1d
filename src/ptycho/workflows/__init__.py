"""Doors: whole workflows as older clients call them."""
