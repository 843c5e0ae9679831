"""What runs where time is measured: standard library only, Python 3.9; pushed to devices whole."""
