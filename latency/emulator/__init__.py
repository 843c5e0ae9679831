"""Running an engine's aarch64 code on another machine, and telling what it would cost there."""
