#!/bin/sh
# Stops the engine on a data folder and waits until it has ended: stop.sh DATA_FOLDER
set -eu
. "$(dirname "$0")/alive.sh"

folder=${1:?usage: stop.sh DATA_FOLDER}
[ -f "$folder/pid" ] || exit 0
pid=$(cat "$folder/pid")

kill "$pid" 2>/dev/null || true
tries=0
while alive "$pid"; do
  tries=$((tries + 1))
  [ "$tries" -ne 200 ] || kill -9 "$pid" 2>/dev/null || true
  sleep 0.05
done
rm -f "$folder/pid" "$folder/port"
