# `make demo` and `make test` first; `make help` lists the rest.
.PHONY: help demo fleet test native clients serve up up-spark up-monitoring watched down walkthrough engine test-stack lint \
	bench prove soak figures lock backup restore verify-backup upgrade gc accounts doctor images
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# The upstream package has no wheels for later versions of Python.
PYTHON ?= $(shell for v in 3.11 3.12 3; do python$$v -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && { echo python$$v; break; }; done)
# torch's CPU builds are a tenth of the size of its default ones. pip asks an extra index about
# every package and waits for one that does not answer, so torch comes last, when all that it needs
# is there. Its files are the only ones that no hash of ours is compared with.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# What a variable has, as one word of the shell's, whatever it has.
quoted = '$(subst ','\'',$(value $1))'

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-14s %s\n", $$1, $$2}'

demo: .venv/native ## the walk-throughs and a real series, embedded: no Docker, no server
	.venv/bin/python app/test.py
	.venv/bin/python app/test.py --sample elnino
	.venv/bin/python app/multivariate.py

fleet: .venv/spark .venv/native ## 10,000 series on Apache Spark, on this machine: needs Java 17
	.venv/bin/python app/fleet.py

# Three processes for two cores, because tests wait for services much of their time. A file's tests
# stay in one, with the services they share (tests/conftest.py has the folders that do), and files
# begin in their order: few tests may be long. Hundreds of programs start: compiled code is kept.
test: clients .venv/native ## every test that runs here; the stack's too where a Docker engine answers
	PYTHONDONTWRITEBYTECODE= .venv/bin/python -m pytest -m 'not stack' -n 3 --dist loadfile --no-loadscope-reorder
	@if docker version >/dev/null 2>&1; then $(MAKE) --no-print-directory test-stack; \
	else echo 'The stack tests were not run: no Docker engine answers (make engine, then make test-stack).'; fi

# npm itself writes this file when all is there.
NODE_MODULES := $(addsuffix /node_modules/.package-lock.json,tests/clients tests/page)
clients: tests/clients/python/beta-5 $(if $(shell command -v npm),$(NODE_MODULES)) ## install what the tests run that is of others: clients of Azure's, for Node where npm is there and an old one for Python, and axe-core
$(NODE_MODULES): %/node_modules/.package-lock.json: %/package-lock.json
	npm --prefix $* ci --silent
tests/clients/python/beta-5: tests/clients/python/beta-5.txt .venv/dev
	.venv/bin/pip install -q --no-deps --require-hashes --upgrade --target $@ -r $<
	@touch $@

serve: .venv/native ## the endpoint for Azure's clients, with its page for people, embedded (PORT, API_KEYS)
	PYTHONPATH=app .venv/bin/python -m detector serve

lint: .venv/dev ## ruff, mypy, import-linter, hadolint, shellcheck, and Compose's own check where it is there
	.venv/bin/ruff check . && .venv/bin/ruff format --check .
	.venv/bin/mypy app backup
	PYTHONPATH=app .venv/bin/lint-imports --no-logo
	.venv/bin/hadolint Dockerfile $(wildcard */Dockerfile) tests/stack/older.Dockerfile .ci/stand-ins/*.Dockerfile
	.venv/bin/shellcheck -x .ci/run .ci/engine $(filter-out %.py,$(wildcard scripts/*)) .ci/stand-ins/mysql-entrypoint .devcontainer/*.sh
	@if docker compose version >/dev/null 2>&1; then \
		for overlay in '' :minio/seaweedfs.yml :caddy/caddy.yml :minio/seaweedfs.yml:caddy/caddy.yml; do \
			COMPOSE_FILE=docker-compose.yml$$overlay docker compose --env-file .env.example --profile '*' config --quiet; \
			echo "docker-compose.yml$$overlay is valid"; done; \
	else echo 'The Compose files were not checked: the docker compose command is not here.'; fi

engine: ## on Debian: install and start a Docker engine; where no registry answers, stand-in images to test on
	@.ci/engine

up: ## start the stack and wait until it is healthy
	@scripts/env secrets
	@docker compose up -d --build --wait || { scripts/why-not-up; exit 1; }
	@git rev-parse HEAD >.stack-revision 2>/dev/null || rm -f .stack-revision
	@rm -f .upgrade-backup
	@scripts/env addresses

up-spark: export COMPOSE_PROFILES := spark
up-spark: up ## start the stack with its Spark cluster, and wait until it is healthy

up-monitoring: export COMPOSE_PROFILES := monitoring
up-monitoring: watched up ## start the stack with Prometheus and Grafana, and wait until it is healthy

# The age of the last backup is watched, also before there is one.
watched:
	@scripts/backup folder

down: ## stop the stack with all its profiles; the data stays
	docker compose --profile '*' down

backup: ## back up the database, the store, the queue and the accounts while the stack works
	@scripts/backup create

verify-backup: ## say whether a backup would restore: FROM=backups/...
	@scripts/backup verify $(call quoted,FROM)

restore: ## bring a stack back from a backup: FROM=backups/... [OVERWRITE=yes]
	@scripts/backup restore $(call quoted,FROM) $(call quoted,OVERWRITE)

upgrade: ## bring the running stack to the version of this checkout: back up, build, migrate, start, check
	@scripts/upgrade

gc: ## delete for good what was deleted in MLflow more than 30 days ago, with its files (GC_OLDER_THAN)
	@docker compose run --rm --no-deps gc

doctor: ## say whether the stack on this machine is well, and what to do where it is not
	@scripts/doctor

walkthrough: ## the walk-through inside the workspace container, in the language of who runs it
	docker compose exec -T $(foreach v,LANGUAGE LC_ALL LC_MESSAGES LANG,-e $v="$$$v") workspace python app/test.py

# Only what stands on the command line: the environment may have some of these names too.
accounts: ## users of MLflow behind Caddy: ADD=name, PASSWORD=name, REMOVE=name, GRANT=name (docs/accounts.md); none lists them
	@scripts/accounts $(foreach v,ADD PASSWORD REMOVE GRANT EXPERIMENT MODEL PERMISSION,$(if $(filter command,$(word 1,$(origin $v))),$v=$(call quoted,$v)))

test-stack: .venv/dev ## the end-to-end tests of the stack, on a stack of their own
	@docker version >/dev/null 2>&1 || { echo 'No Docker engine answers: run `make engine` first.' >&2; exit 1; }
	@.ci/engine
	.venv/bin/python -m pytest -m stack

bench: .venv/dev .venv/native ## measure detection, of one series and many, against the package; the endpoint, and its page
	.venv/bin/python tests/bench/detection.py
	.venv/bin/python tests/bench/many.py
	.venv/bin/python tests/bench/api.py
	.venv/bin/python tests/bench/multivariate.py
	.venv/bin/python tests/bench/page.py

prove: .venv/dev .venv/native ## compare 2,000 generated series with the package; find planted faults (15 minutes)
	.venv/bin/python tests/bench/equality.py
	.venv/bin/python tests/bench/multivariate_quality.py

soak: .venv/dev ## usual clients beside ones that attack, on a stack of its own, while services are killed (15 minutes)
	@docker version >/dev/null 2>&1 || { echo 'No Docker engine answers: run `make engine` first.' >&2; exit 1; }
	@.ci/engine
	.venv/bin/python tests/bench/soak.py --picture docs/soak.png

images: ## what is pinned, what is here, and what is newer where Docker Hub answers
	@scripts/images

figures: .venv/dev ## measure what the README says of the stack's time, memory and size
	.venv/bin/python tests/bench/stack.py

# Six locks of one graph, with the hashes of every file. torch and what its builds for GPUs need stay
# out: the files of its index of CPU builds have other hashes than those of the same version elsewhere.
GPU := cuda-bindings cuda-toolkit nvidia-cudnn-cu13 nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvshmem-cu13 triton
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-package torch --excludes <(printf '%s\n' $(GPU)) --quiet
lock: ## write the requirements' locks anew (needs uv)
	$(COMPILE) --upgrade requirements-dev.txt -o requirements-dev.lock
	for name in requirements requirements-spark mlflow/requirements minio/requirements backup/requirements; do \
		$(COMPILE) --upgrade $$name.txt -c requirements-dev.lock -o $$name.lock; done

.venv/bin/python:
	@[ -n "$(PYTHON)" ] || { echo 'No Python 3.11 or 3.12 on the PATH: install one, or name it: make PYTHON=/path/to/python.' >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/demo: requirements.lock | .venv/bin/python
	@echo 'Installing the requirements (a few minutes the first time) ...'
	.venv/bin/pip install -q --retries 1 --no-deps --require-hashes -r requirements.lock
	.venv/bin/pip install -q --retries 1 --extra-index-url $(TORCH_INDEX) "$$(grep '^torch==' requirements.txt)"
	@touch $@

# Compiled anew when its sources change. Where that cannot be done, numpy does the same.
COMPILE_KERNEL := PYTHONPATH=app .venv/bin/python -m detector.univariate.kernel.native.build
native: .venv/demo ## compile the kernel: needs a C compiler and the headers of Python
	$(COMPILE_KERNEL)
.venv/native: $(wildcard app/detector/univariate/kernel/native/*.p*) .venv/demo
	@echo 'Compiling the kernel (half a minute) ...'
	@$(COMPILE_KERNEL) || echo 'When they are there: make native'
	@touch $@

.venv/spark: requirements-spark.lock .venv/demo
	@echo 'Installing PySpark (a minute the first time) ...'
	.venv/bin/pip install -q --no-deps --no-build-isolation --require-hashes -r requirements-spark.lock
	@touch $@

.venv/dev: requirements-dev.lock .venv/demo
	.venv/bin/pip install -q --no-deps --no-build-isolation --require-hashes -r requirements-dev.lock
	@touch $@
