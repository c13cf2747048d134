#!/bin/sh
# Starts a Kafka broker: start.sh DATA_FOLDER [PORT]
# PORT 0 picks a free port. Prints host and port once the broker answers. Needs Java (17 or later) and Maven.
# REKEY_NATIVE_CACHE            folder for downloads (default ~/.cache/rekey/native)
# REKEY_NATIVE_ADVERTISED_PORT  port that clients connect to, if there is a proxy in front (default: the broker's port)
# REKEY_NATIVE_PROPERTIES       file of broker properties that override those below
# REKEY_NATIVE_CLUSTER          id shared by the nodes of a cluster, 22 characters
# REKEY_NATIVE_SCRAM            SCRAM user, in the format of Kafka's format tool
# REKEY_NATIVE_JAVA             additional options for Java
set -eu
. "$(dirname "$0")/../alive.sh"

folder=${1:?usage: start.sh DATA_FOLDER [PORT]}
given=${2:-9092}
advertised=${REKEY_NATIVE_ADVERTISED_PORT:-}
here=$(cd "$(dirname "$0")" && pwd)
sum=$(cksum <"$here/pom.xml" | cut -d ' ' -f 1)
cache=${REKEY_NATIVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rekey/native}/kafka-$sum

for tool in java mvn; do
  command -v "$tool" >/dev/null || { echo "start.sh: $tool is missing; install it" >&2; exit 1; }
done

# Prepared in a temporary folder and then moved, so that an interrupted or concurrent start leaves no partial result.
if [ ! -d "$cache" ]; then
  mkdir -p "$(dirname "$cache")"
  made=$(mktemp -d "$cache.XXXXXX")
  trap 'rm -rf "$made"' EXIT
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$made" >&2
  chmod 755 "$made"
  [ -d "$cache" ] || mv "$made" "$cache"
fi

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [ -f "$folder/pid" ] && alive "$(cat "$folder/pid")"; then
  echo "start.sh: an engine is already running on $folder" >&2
  exit 1
fi
rm -f "$folder/port"

# Below the ephemeral ports, so that no outgoing connection occupies the port during a restart.
random_port() {
  echo $((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
}

# One node. The rebalance delay, sizes and timeouts are chosen for quick starts and tests on a small machine.
write_properties() {
  cat >"$folder/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:${advertised:-$port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller
log.dirs=$folder/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=4194304
PROPERTIES
  [ -z "${REKEY_NATIVE_PROPERTIES:-}" ] || cat "$REKEY_NATIVE_PROPERTIES" >>"$folder/server.properties"
}

# Called in a subshell, which is replaced by the broker (exec).
java_with_kafka() {
  exec java -XX:+UseSerialGC -cp "$cache/*" \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info "$@"
}

attempt=0
while :; do
  port=$given
  [ "$given" -ne 0 ] || port=$(random_port)
  controller=$(random_port)
  write_properties
  if [ ! -f "$folder/data/meta.properties" ]; then
    id=${REKEY_NATIVE_CLUSTER:-$(head -c 16 /dev/urandom | base64 | tr '+/' 'xy' | cut -c 1-22)}
    (java_with_kafka -Xmx128m -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format --ignore-formatted -t "$id" \
      -c "$folder/server.properties" ${REKEY_NATIVE_SCRAM:+--add-scram "$REKEY_NATIVE_SCRAM"} \
      >"$folder/log" 2>&1) || { cat "$folder/log" >&2; exit 1; }
  fi
  java_with_kafka -Xmx256m ${REKEY_NATIVE_JAVA:-} kafka.Kafka "$folder/server.properties" \
    >"$folder/log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$folder/pid"

  tries=0
  until grep -q 'Kafka Server started' "$folder/log"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 1200 ] || ! alive "$pid"; then
      kill -9 "$pid" 2>/dev/null || true
      rm -f "$folder/pid"
      attempt=$((attempt + 1))
      if [ "$attempt" -lt 5 ] && grep -q 'failed to bind' "$folder/log" &&
        { [ "$given" -eq 0 ] || ! grep -q "failed to bind.*:$given" "$folder/log"; }; then
        continue 2
      fi
      grep -v '^[[:space:]]' "$folder/log" >&2 || true
      exit 1
    fi
    sleep 0.05
  done
  break
done
echo "$port" >"$folder/port"
echo "127.0.0.1:$port"
