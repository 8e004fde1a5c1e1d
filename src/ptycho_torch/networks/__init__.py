"""Networks: measured amplitudes in, complex object patches out. They know no probe, no configuration, no trainer."""
