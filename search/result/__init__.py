"""What a finished search says, and which files it leaves."""
