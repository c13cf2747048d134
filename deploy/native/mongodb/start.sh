#!/bin/sh
# Starts the emulator of the MongoDB protocol: start.sh DATA_FOLDER [PORT]
# PORT 0 picks a free port. Prints the connection string once the emulator answers. Needs a JDK (17 or later) and Maven.
# REKEY_NATIVE_CACHE: folder for downloads (default ~/.cache/rekey/native).
set -eu
. "$(dirname "$0")/../alive.sh"

folder=${1:?usage: start.sh DATA_FOLDER [PORT]}
port=${2:-27017}
here=$(cd "$(dirname "$0")" && pwd)
sum=$(cat "$here/pom.xml" "$here/MongoEmulator.java" | cksum | cut -d ' ' -f 1)
cache=${REKEY_NATIVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rekey/native}/mongodb-$sum

for tool in java javac mvn; do
  command -v "$tool" >/dev/null || { echo "start.sh: $tool is missing; install it" >&2; exit 1; }
done

# Prepared in a temporary folder and then moved, so that an interrupted or concurrent start leaves no partial result.
if [ ! -d "$cache" ]; then
  mkdir -p "$(dirname "$cache")"
  made=$(mktemp -d "$cache.XXXXXX")
  trap 'rm -rf "$made"' EXIT
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$made" >&2
  javac -cp "$made/*" -d "$made" "$here/MongoEmulator.java"
  chmod 755 "$made"
  [ -d "$cache" ] || mv "$made" "$cache"
fi

mkdir -p "$folder"
if [ -f "$folder/pid" ] && alive "$(cat "$folder/pid")"; then
  echo "start.sh: an engine is already running on $folder" >&2
  exit 1
fi
rm -f "$folder/port"
java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$cache:$cache/*" MongoEmulator "$folder" "$port" \
  >"$folder/log" 2>&1 </dev/null &
pid=$!
echo "$pid" >"$folder/pid"

tries=0
until [ -f "$folder/port" ]; do
  tries=$((tries + 1))
  if [ "$tries" -gt 600 ] || ! alive "$pid"; then
    cat "$folder/log" >&2
    kill "$pid" 2>/dev/null || true
    rm -f "$folder/pid"
    exit 1
  fi
  sleep 0.05
done
echo "mongodb://127.0.0.1:$(cat "$folder/port")/"
