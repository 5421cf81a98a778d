"""Whether training collapses: many seeds of the default recipe, each one's nFD and how often it went back.

python -m tests.bench.stability [--source URI] [--seeds 20] [--images 40000]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

from pipeline.evaluate.choice import held_out_rows, judge_of
from pipeline.files import write_json
from pipeline.progress import bar
from pipeline.settings import Params
from pipeline.shards import ShardsReader
from pipeline.training.history import Tick
from pipeline.training.step import train
from tests.bench.dataset import BUILD, params_of, shards_of


def one(params: Params, shards: ShardsReader, seed: int) -> Tick:
    """The last tick of a training, with the nFD of its last snapshot."""
    settings, last = params.train.model_copy(update={"seed": seed}), list[Tick]()
    rows = held_out_rows(shards.meta.holdout_items, params.evaluate)
    assert rows is not None, "too small a holdout to judge by"
    distance = judge_of(params.evaluate, shards, rows, BUILD / "evaluators", lambda stage, done, total: None)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        train(
            settings,
            shards,
            root / "runs",
            root / "bundle",
            root / "curves.csv",
            lambda tick, preview: last.append(tick),
            judge=lambda bundle: distance(bundle.sample),
            held_out=rows,
        )
    return last[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample://digits", help="any source that genloop run takes")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--images", type=int, default=40_000, help="seen by each training")
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE")
    chosen = parser.parse_args()
    pairs = [f"collect.source={json.dumps(chosen.source)}", f"train.images_seen={chosen.images}", *chosen.settings]
    params = params_of(pairs)
    shards, ticks = shards_of(params), list[Tick]()
    with bar("stability", "seeds") as show:
        for seed in range(chosen.seeds):
            ticks.append(one(params, shards, seed))
            show(seed + 1, chosen.seeds, f"nFD {ticks[-1].nfd:.3f}")
    write_json(BUILD / "stability.json", {"settings": pairs, "runs": [vars(tick) for tick in ticks]})
    distances = [tick.nfd or 0.0 for tick in ticks]
    print(
        f"{len(ticks)} seeds of {chosen.images:,} images: nFD {min(distances):.3f} to {max(distances):.3f}, "
        f"median {median(distances):.3f}; rollbacks {sum(tick.rollbacks for tick in ticks)}"
    )


if __name__ == "__main__":
    main()
