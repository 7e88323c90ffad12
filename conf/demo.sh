#!/bin/bash
# demo.sh - starts both programs with conf/demo.conf and stops them on Ctrl-C.
# `make run` builds them first.
set -u
cd "$(dirname "$0")/.." || exit 1
conf=conf/demo.conf
admin=127.0.0.1:8081
bin=${ACTIVATOR_BUILD:-build}
activator=
autoscaler=

# Each in a session of its own, so that Ctrl-C reaches them through us alone.
stop() {
	trap '' INT TERM
	echo
	echo "stopping"
	for pid in $activator $autoscaler; do
		kill -TERM "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	echo "stopped"
	exit "$1"
}

say_hello() {
	cat <<'EOT'

  Three services, none of them running.  In another terminal:

    curl -i -H 'host: hello.localhost' http://127.0.0.1:8080/   an app of ours, 500 ms to start
    curl -i -H 'host: files.localhost' http://127.0.0.1:8080/   python3 -m http.server
    curl -i -H 'host: wsgi.localhost'  http://127.0.0.1:8080/   gunicorn

  What happens is told here.  Who is up: curl http://127.0.0.1:8082/
  Ctrl-C stops everything.

EOT
}

mkdir -p build/demo
trap 'stop 0' INT TERM
setsid "$bin/autoscaler" -c $conf &
autoscaler=$!
setsid "$bin/activator" -c $conf &
activator=$!
for _ in $(seq 100); do
	curl -sf -o /dev/null "http://$admin/readyz" && break
	kill -0 $activator 2>/dev/null && kill -0 $autoscaler 2>/dev/null || stop 1
	sleep 0.1
done
say_hello
wait -n $activator $autoscaler
echo "one of the two has ended by itself"
stop 1
