"""What is searched, under which limits, against which baseline."""
