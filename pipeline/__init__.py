"""The work of genloop, one module or folder a step; it knows no orchestrator."""
