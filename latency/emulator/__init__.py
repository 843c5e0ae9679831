"""What an ARM core would take, estimated from counted instructions."""
