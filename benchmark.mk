# The runs behind `make benchmark` and `make benchmark-gpu`: every model trained and evaluated under one protocol, which
# docs/protocol.md explains; `make benchmark-zoo` trains nothing and evaluates the weights that come with canthus.
# A run is a target: what is done is not done again, what was stopped goes on where it was.
# `make benchmark -n DATA=DIR` shows every command.
SUITE ?= cpu
ROOT := $(or $(wildcard $(DATA)/300w),$(DATA))# 300-W, or a folder that holds it as 300w/
OUT ?= logs/benchmark$(if $(filter-out cpu,$(SUITE)),-$(SUITE))
SEEDS ?= 0
CORRUPTIONS ?= all
BIN ?= .venv/bin
OPTIONS ?=# more words for every training; OPTIONS_dan=... for those of one model

FIVE_POINTS := mtcnn dcnn
ALL := san mtcnn facepose dan dcnn fan_zhou cfan mdm# the longest first, so that no core is left with one at the end
# full-size MTCNN learns from WIDER FACE and CelebA: WIDER=DIR CELEBA=DIR
MODELS ?= $(if $(filter gpu,$(SUITE)),$(if $(and $(WIDER),$(CELEBA)),$(ALL),$(filter-out mtcnn,$(ALL))),$(ALL))

experiment_cpu = $(if $(filter mtcnn,$1),mtcnn_cpu,$1_300w_cpu)
experiment_gpu = $(if $(filter mtcnn,$1),mtcnn_wider,$1_300w)
data_cpu = data.root=$(ROOT)
data_gpu = $(if $(filter mtcnn,$1),data.root=$(WIDER) data.landmarks.root=$(CELEBA),data.root=$(ROOT))
# the small runs are evaluated on their own held-out photographs, the full ones on the official test parts
faces_cpu = data.root=$(ROOT)
faces_gpu = data=w300 data.root=$(ROOT)
faces_zoo = data.root=$(ROOT)

RUNS := $(foreach model,$(MODELS),$(SEEDS:%=$(model)/seed%))
EVALUATIONS := $(RUNS:%=$(OUT)/runs/%/evaluation/5/done)
EVALUATIONS += $(patsubst %,$(OUT)/runs/%/evaluation/68/done,$(filter-out $(FIVE_POINTS:%=%/%),$(RUNS)))

model = $(firstword $(subst /, ,$*))
seed = $(patsubst seed%,%,$(notdir $*))
run = $(if $(filter zoo,$(SUITE)),zoo/$(model),$(OUT)/runs/$*)
EVALUATE = $(BIN)/python -m canthus.commands.evaluate run=$(run) output=$(@D) $(faces_$(SUITE)) \
	normaliser=inter_ocular 'normalisers=[inter_pupil]' threshold=8 corruptions=$(CORRUPTIONS)

# two runs would write over each other's progress bars: each has its own file
log = > $(OUT)/runs/$*/$1.txt 2>&1 || { tail -n 25 $(OUT)/runs/$*/$1.txt; echo "$*: $1 failed"; exit 1; }

.PHONY: report evaluated trained
.SECONDARY:
.SILENT:

report: $(OUT)/report.html
evaluated: $(EVALUATIONS)
trained: $(RUNS:%=$(OUT)/runs/%/trained)

$(OUT)/report.html: $(EVALUATIONS)
	$(BIN)/python -m canthus.commands.report images=$(DATA) runs=$(OUT)/runs output=$@

# a run that has no config.yaml was stopped before it began, perhaps in its steps, and is started again
$(OUT)/runs/%/trained:
	@mkdir -p $(@D)
ifneq ($(SUITE),zoo)
	@echo "$$(date +%H:%M) $*: training; tail -f $(@D)/train.txt"
	if grep -qs '^ "status": "finished"' $(@D)/provenance.json; then :; \
	elif [ -f $(@D)/config.yaml ]; then $(BIN)/python -m canthus.commands.train resume=$(@D); \
	else $(BIN)/python -m canthus.commands.train experiment=$(call experiment_$(SUITE),$(model)) seed=$(seed) \
		$(call data_$(SUITE),$(model)) hydra.run.dir=$(@D) paths.log_dir=$(OUT)/steps $(OPTIONS) $(OPTIONS_$(model)); \
	fi $(call log,train)
endif
	@touch $@

$(OUT)/runs/%/evaluation/68/done: $(OUT)/runs/%/trained
	@mkdir -p $(@D)
	@echo "$$(date +%H:%M) $*: evaluation, all points"
	$(EVALUATE) $(call log,evaluate_68)
	@touch $@

$(OUT)/runs/%/evaluation/5/done: $(OUT)/runs/%/trained
	@mkdir -p $(@D)
	@echo "$$(date +%H:%M) $*: evaluation, five points"
	$(EVALUATE) data.scheme=5 $(call log,evaluate_5)
	@touch $@
