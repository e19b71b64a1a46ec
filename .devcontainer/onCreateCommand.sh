#!/usr/bin/env bash
# Adds what tests, lint and the editor need to what the workspace image has already.
set -euo pipefail
cd "$(dirname "$0")/.."
pip install --quiet --no-cache-dir --no-deps --require-hashes -r requirements-dev.lock
