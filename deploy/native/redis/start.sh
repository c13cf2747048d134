#!/bin/sh
# Starts Redis: start.sh DATA_FOLDER [PORT]
# PORT 0 picks a free port. Prints the connection string once Redis has loaded its data and answers. Needs redis-server 6.2
# or later.
set -eu
. "$(dirname "$0")/../alive.sh"

folder=${1:?usage: start.sh DATA_FOLDER [PORT]}
port=${2:-6379}

command -v redis-server >/dev/null || { echo "start.sh: redis-server is missing; install Redis 6.2 or later" >&2; exit 1; }

mkdir -p "$folder"
if [ -f "$folder/pid" ] && alive "$(cat "$folder/pid")"; then
  echo "start.sh: an engine is already running on $folder" >&2
  exit 1
fi
rm -f "$folder/port"

# Every write is appended to the log at once and synced to disk within a second. A killed process loses nothing; a failed
# machine loses the jobs of up to a second, which the watcher schedules again. Nothing is evicted when memory is short.
serve() {
  redis-server --bind 127.0.0.1 --port "$1" --dir "$folder" --daemonize no \
    --appendonly yes --appendfsync everysec --save '' --maxmemory-policy noeviction \
    >"$folder/log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$folder/pid"
  until grep -q 'Ready to accept connections' "$folder/log"; do
    waited=$((waited + 1))
    if [ "$waited" -gt 1200 ]; then
      kill "$pid" 2>/dev/null || true
      return 1
    fi
    alive "$pid" || return 1
    sleep 0.05
  done
}

# For Redis, port 0 means no port. Picks random ports below the ephemeral ones until one is free.
waited=0
draws=0
chosen=$port
while :; do
  [ "$port" -ne 0 ] || chosen=$((10000 + $(od -An -N2 -tu2 /dev/urandom) % 20000))
  if serve "$chosen"; then break; fi
  draws=$((draws + 1))
  if [ "$port" -ne 0 ] || [ "$draws" -ge 20 ] || ! grep -q 'Address already in use' "$folder/log"; then
    cat "$folder/log" >&2
    rm -f "$folder/pid"
    exit 1
  fi
done
echo "$chosen" >"$folder/port"
echo "redis://127.0.0.1:$chosen"
