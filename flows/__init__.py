"""What runs the pipeline: the Prefect flow, local services, deployments and the command line."""
