"""What runs where time is measured.

latency/devices/archive.py pushes this folder to devices. Its files import the standard library,
the engine's package and each other, and run on Python 3.9.
"""
