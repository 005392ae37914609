# Everything happens in .venv: no root, no Node, nothing installed outside this directory.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
PORT_OFFSET ?= 0
BROKER ?= embedded
RUNS ?= 3
UPLINK ?= mqtt

.PHONY: help setup demo test check bench outage poison cluster peers format lock clean

help: ## 这些命令 / these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ —/' | sed 's/^/  make /'

setup: $(VENV)/.ready ## 准备环境 / set up the environment

$(VENV)/.ready: $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "需要 Python 3.11 或更新 / Python 3.11 or newer is needed: make PYTHON=python3.11 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "缺少 venv 模块 / the venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "正在安装依赖(第一次约一分钟)/ installing dependencies (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## 启动演示小区 / run the demonstration community
	@$(BIN)/python -m simulators.demo --port-offset $(PORT_OFFSET) --broker $(BROKER)

test: setup ## 全部测试 / all tests
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: setup ## 静态检查 / static checks
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: setup ## 性能测试 / benchmarks
	@$(BIN)/python -m benchmarks

outage: setup ## 断网一分钟、随机 kill -9,清点(RUNS=100 为全套,UPLINK="sparkplug thingsboard influxdb" 换平台)/ a minute's outage with kill -9, counted (RUNS=100: all)
	@$(BIN)/python -m benchmarks.outage --runs $(RUNS) --uplink $(UPLINK)

poison: setup ## 会卡在一条数据上的平台,清点 / platforms that choke on one row, counted
	@$(BIN)/python -m benchmarks.poison

cluster: setup ## 三节点集群失去节点与主节点,清点 / a cluster that loses nodes and its leader, counted
	@$(BIN)/python -m benchmarks.cluster

peers: setup ## 同样的断网,与同类软件比较(第一次下载它们,约 25 分钟)/ the same outage for Node-RED, thingsboard-gateway and mosquitto's bridge (fetched once; 25 minutes)
	@$(BIN)/python -m benchmarks.peers --install

format: setup
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

lock: ## 更新依赖锁 / update the lock file (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --extra sim --group dev --output-file $(LOCK) pyproject.toml

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
