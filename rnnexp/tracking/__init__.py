"""Where a run's results go: its run log, MLflow, the run folder, the terminal. MLflow is imported on demand."""
