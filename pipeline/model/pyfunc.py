"""The registered model, as MLflow loads it: rows of `label, seed` in, PNG bytes out.

The model's artifacts carry the folder this file stands in; it is imported from there under a name of its
own, so a registered version always runs the code that it was registered with, on any machine.
"""

import importlib.util
import io
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel
from PIL import Image


def _package(folder: Path, name: str):  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec and spec.loader
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return importlib.import_module(f"{name}.bundle")


class GeneratorModel(PythonModel):
    def load_context(self, context):  # type: ignore[no-untyped-def]
        folder = Path(context.artifacts["bundle"])
        code = _package(folder / "code", f"genloop_bundle_{abs(hash(folder))}")
        self.bundle = code.load_bundle(folder)

    def predict(self, context, model_input: pd.DataFrame, params=None):  # type: ignore[no-untyped-def]
        index = {name: i for i, name in enumerate(self.bundle.classes)}
        labels = np.array([index.get(str(label), 0) for label in model_input["label"]], np.int64)
        images = self.bundle.sample(labels, model_input["seed"].to_numpy(np.int64))
        return pd.DataFrame({"image": [_png(image) for image in images]})


def _png(image_CHW: np.ndarray) -> bytes:  # type: ignore[type-arg]
    out = io.BytesIO()
    array = image_CHW[0] if len(image_CHW) == 1 else image_CHW.transpose(1, 2, 0)
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


mlflow.models.set_model(GeneratorModel())
