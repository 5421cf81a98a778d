"""Networks, losses, noise and the bundle. Only relative imports here: a registered model carries this folder."""

from pathlib import Path


def pyfunc_path() -> Path:
    """The file that MLflow runs for a registered model."""
    return Path(__file__).with_name("pyfunc.py")
