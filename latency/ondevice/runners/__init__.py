"""What runs models where they are measured: one engine a file, named as in `latency.engines`, and
what they share.

A file here is pushed to remote devices: it imports the standard library, its engine's package and
what that needs, and of this project only what is pushed too (latency/devices/archive.py).
"""
