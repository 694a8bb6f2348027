"""Taps: captures that prove their own health."""
