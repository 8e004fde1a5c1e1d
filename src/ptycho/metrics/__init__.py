"""Figures of merit: what two objects have in common once the ambiguities of ptychography are removed."""
