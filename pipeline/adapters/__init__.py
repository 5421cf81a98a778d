"""The only place that talks to S3, MLflow and DVC."""
