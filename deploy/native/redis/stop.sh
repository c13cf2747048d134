#!/bin/sh
# Stops what start.sh started on a data folder, and waits until it is gone: stop.sh DATA_FOLDER
set -eu

folder=${1:?usage: stop.sh DATA_FOLDER}
[ -f "$folder/pid" ] || exit 0
pid=$(cat "$folder/pid")
kill "$pid" 2>/dev/null || true
tries=0
while kill -0 "$pid" 2>/dev/null; do
  tries=$((tries + 1))
  [ "$tries" -ne 100 ] || kill -9 "$pid" 2>/dev/null || true
  sleep 0.05
done
rm -f "$folder/pid" "$folder/port"
