"""What Prometheus is told: read from what lies in the workspace at the moment of a scrape, so that no process that is
killed takes a count with it."""
