"""How an engine is reached, here or over ssh and adb."""
