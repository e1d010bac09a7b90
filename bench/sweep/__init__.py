"""The parts of bench/kill_sweep.py."""
