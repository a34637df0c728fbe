# Runs a RabbitMQ node until stdin says `keep`, or until nobody holds it any more: then the tests are over or have
# crashed, and the node's files go too.
set -u
trap '' INT TERM HUP
# runuser sets it to the home of the user.
export HOME="$NODE_HOME"
setsid epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 >"$NODE_HOME/epmd.log" 2>&1 &
epmd=$!
setsid /usr/lib/rabbitmq/bin/rabbitmq-server >"$NODE_HOME/log" 2>&1 &
server=$!
read -r order
kill -KILL "-$server" "-$epmd"
wait
[ "$order" = keep ] || rm -rf "$NODE_HOME"
