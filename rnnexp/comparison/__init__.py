"""Many recorded runs compared: tables, figures, the page. Nothing here but `recorded_runs` needs MLflow."""
