# Runs an S3 server until stdin says `keep`, or until nobody holds it any more: then the tests are over or have crashed,
# and its files go too.
set -u
trap '' INT TERM HUP
"$@" >>log 2>&1 &
server=$!
order=''
read -r order || true
kill -KILL "$server" 2>/dev/null
wait "$server" 2>/dev/null
if [ "$order" != keep ]; then rm -rf "$PWD"; fi
