"""What runs models where they are measured: one engine a file, named as in `latency.engines`.

A file here is pushed to remote devices and loaded there by itself: it imports the standard
library, its engine's package and what that needs, and nothing of this project.
"""
