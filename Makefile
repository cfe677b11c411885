# Everything needs only Python 3.11 or 3.12, make and git. `make env` makes .venv; the other targets call it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO := logs/demo
WORKERS ?= 2

.PHONY: env demo picture benchmark benchmark-gpu benchmark-zoo claims benchmarks test test-slow lint format wheel clean

env: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: env ## train a small DAN on synthetic faces, evaluate it, leave pictures (about 7 minutes on 2 cores)
	rm -rf $(DEMO)
	$(BIN)/canthus-train experiment=demo hydra.run.dir=$(DEMO)
	@echo "open $(DEMO)/summary.md and $(DEMO)/overlays/faces.png"

picture: demo ## the README's picture: every third row of the demo's rendered test faces, the best at the top
	mkdir -p docs/pictures
	$(BIN)/python -c "import cv2, numpy as np; rows = np.array_split(cv2.imread('$(DEMO)/evaluation/synthetic-test/overlays/faces.png'), 12); \
		cv2.imwrite('docs/pictures/faces.jpg', np.vstack(rows[::3]), [cv2.IMWRITE_JPEG_QUALITY, 85])"

# all models side by side, resumable, in hours (benchmark-zoo: as shipped, in minutes): docs/protocol.md.
# DRY=1 shows the commands. What is not given has the default of conf/benchmark.yaml
benchmark: env
	$(call compare,cpu)
benchmark-gpu: env
	$(call compare,gpu)
benchmark-zoo: env
	$(call compare,zoo)

compare = $(if $(DATA),,$(error DATA=DIR is needed: the folder of 300-W, with helen/trainset and afw in it))\
	$(BIN)/canthus-benchmark suite=$1 $(BENCHMARK) $(if $(DRY),--dry-run)
quote = '$(subst ','\'',$1)'
setting = $(if $($2),$(call quote,$1=$($2)))
BENCHMARK = $(call setting,data.root,DATA) $(call setting,output,OUT) $(call setting,seeds,SEEDS) $(call setting,models,MODELS) \
	$(call setting,corruptions,CORRUPTIONS) $(call setting,jobs,JOBS) $(call setting,threads,THREADS) $(call setting,wider,WIDER) \
	$(call setting,celeba,CELEBA) $(call setting,options.all,OPTIONS) \
	$(foreach model,cfan dan dcnn facepose fan_zhou mdm mtcnn san,$(call setting,options.$(model),OPTIONS_$(model)))

# train, measure and judge the papers' claims, resumable, in hours: docs/claims.md. DRY=1 shows the commands and core-hours
claims: env
	$(if $(DATA),,$(error DATA=DIR is needed: the folder of 300-W, with helen/trainset, helen/testset and afw in it))\
	$(BIN)/canthus-claims $(call setting,data.root,DATA) $(call setting,output,OUT) $(call setting,seeds,SEEDS) \
		$(call setting,claims,CLAIMS) $(call setting,jobs,JOBS) $(call setting,threads,THREADS) $(call setting,ytf68,YTF68) \
		$(call setting,options,OPTIONS) $(if $(DRY),--dry-run)

test: env ## every quick test, a process for each of WORKERS cores
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadscope

test-slow: env ## the tests that train for minutes
	$(BIN)/pytest -m slow

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: env ## speed beside what the field uses, one table of ratios (QUICK=1, PEER=DIR): benchmarks/README.md
	$(if $(DATA),CANTHUS_DATA=$(DATA)) $(BIN)/python benchmarks/run_all.py $(if $(QUICK),--quick) \
		$(if $(PEER),--peer $(PEER)) $(if $(OUT),--output $(OUT))

wheel: env
	$(BIN)/python -m build --quiet

clean:
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache
