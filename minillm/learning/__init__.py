"""What training is made of: optimizers, schedules, scaling laws."""
