# The beginning of a session that types what a document prints: see manual.rs.
set -eE -o pipefail
ip link set lo up
place=beginning
at() { place=$1; echo "== $1"; }
trap 'echo "FAILED at $place: $BASH_COMMAND"; for log in "$SESSION"/log.*; do [ ! -e "$log" ] || tail -n 20 "$log"; done' ERR

mkdir "$SESSION/bin" "$SESSION/home"
export HOME=$SESSION/home PATH=$SESSION/bin:$PROGRAMS:$PATH
cd "$HOME"

# What cargo would build is built already: `run` starts it, `install` has nothing to do.
cat >"$SESSION/bin/cargo" <<'PROGRAM'
#!/bin/sh
[ "$1" = install ] && exit 0
[ "$1 $2 $3" = "run --release -p" ] || exit 101
program=$4
shift 4
[ "$1" != -- ] || shift
exec "$program" "$@"
PROGRAM
# A busy machine makes a run invalid, which is what 96 says; the documents promise a measurement on an idle one.
cat >"$SESSION/bin/chatbench" <<'PROGRAM'
#!/bin/sh
"$PROGRAMS/chatbench" "$@"
code=$?
[ $code != 96 ] || exit 0
exit $code
PROGRAM
# Root may become whoever the services run as; everybody else runs them as himself.
cat >"$SESSION/bin/sudo" <<'PROGRAM'
#!/bin/sh
[ "$1" = -u ] || exit 101
user=$2
shift 2
export PGHOST="$SESSION/postgresql"
[ "$(id -u)" = 0 ] || exec env PGUSER="$user" "$@"
exec runuser -u "$user" -- "$@"
PROGRAM
chmod +x "$SESSION"/bin/*

# wait_for WHAT COMMAND…
wait_for() {
  local what=$1 deadline=$((SECONDS + 100))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || { echo "never: $what"; return 1; }
    sleep 0.05
  done
}

as_user() {
  local user=$1
  shift
  if [ "$(id -u)" = 0 ]; then runuser -u "$user" -- "$@"; else "$@"; fi
}

# A directory that the service's own user can reach and write.
room() {
  mkdir "$SESSION/$1"
  [ "$(id -u)" != 0 ] || { chmod a+x "$SESSION"; chown "$1" "$SESSION/$1"; }
}

# PostgreSQL as Debian sets it up: its own user over the socket, passwords over TCP, the usual port.
begin_postgresql() {
  local bin
  bin=$(find /usr/lib/postgresql -name initdb -printf '%h\n' | sort -V | tail -1)
  mkdir "$SESSION/postgresql"
  [ "$(id -u)" != 0 ] || { chmod a+x "$SESSION"; chown postgres "$SESSION/postgresql"; }
  (
    cd "$SESSION/postgresql"
    as_user postgres "$bin/initdb" -D data -U postgres -E UTF8 --locale=C -N --auth-local=trust --auth-host=scram-sha-256
    as_user postgres "$bin/postgres" -D data -c fsync=off -c "unix_socket_directories=$PWD"
  ) </dev/null >"$SESSION/log.postgresql" 2>&1 &
}
await_postgresql() {
  wait_for 'PostgreSQL serves' sudo -u postgres psql -c 'select 1'
}

# RabbitMQ on its usual port, where the account guest may come from this host.
begin_rabbitmq() {
  room rabbitmq
  (
    cd "$SESSION/rabbitmq"
    export HOME=$PWD RABBITMQ_NODENAME=manual@localhost RABBITMQ_CONF_ENV_FILE=/dev/null
    export RABBITMQ_MNESIA_BASE=$PWD/data RABBITMQ_LOG_BASE=$PWD/logs RABBITMQ_ENABLED_PLUGINS_FILE=$PWD/plugins
    export RABBITMQ_CONFIG_FILE=$PWD/none RABBITMQ_ADVANCED_CONFIG_FILE=$PWD/none RABBITMQ_PID_FILE=$PWD/pid
    as_user rabbitmq env HOME="$PWD" /usr/lib/rabbitmq/bin/rabbitmq-server
  ) </dev/null >"$SESSION/log.rabbitmq" 2>&1 &
}
await_rabbitmq() {
  wait_for 'RabbitMQ serves' grep -q 'Starting broker.*completed' "$SESSION/log.rabbitmq"
}

begun=0

# Types a block that serves until the session ends, and waits until every daemon in it listens.
goes_on() {
  local block log daemons
  block=$(cat)
  log=$SESSION/log.block$((begun += 1))
  daemons=$(grep -cE '^(chatd|cargo run .*-p chatd)( |$)' <<<"$block")
  bash -eo pipefail -c "$block" </dev/null >"$log" 2>&1 &
  wait_for "$daemons times 'listening on' in $place" listens "$log" "$daemons" || { cat "$log"; return 1; }
}
listens() { [ "$(grep -c '^listening on' "$1")" = "$2" ]; }

# Types a block, waits until it shows something, and interrupts it as Ctrl-C does.
interrupted() {
  local block log pid code=0
  block=$(cat)
  log=$SESSION/log.block$((begun += 1))
  bash -c "exec $block" </dev/null >"$log" 2>"$log.errors" &
  pid=$!
  wait_for "something shown at $place" test -s "$log"
  kill -INT "$pid"
  wait "$pid" || code=$?
  [ "$code" = 130 ] || { echo "it ends with $code"; return 1; }
}

# Does not do what takes hours; but every line of chatbench must be one it understands, or it ends with 2 at once. There
# is nobody to reach in a network without a device.
understood() {
  local line code
  while IFS= read -r line; do
    [[ $line == chatbench* ]] || continue
    code=0
    unshare --net timeout 20 bash -c "${line%%#*}" || code=$?
    [ "$code" != 2 ] || { echo "not understood: $line"; return 1; }
  done
}
