#!/bin/bash
# demo.sh - starts both programs with conf/demo.conf, says in a line each what
# happens to the services, and stops both on Ctrl-C.  `make run` builds them first.
set -u
cd "$(dirname "$0")/.." || exit 1
conf=${DEMO_CONF:-conf/demo.conf}
dir=build/demo
admin=127.0.0.1:8081
if [ "$conf" != conf/demo.conf ]; then # a test, with a folder and addresses of its own
	dir=$(dirname "$conf")
	admin=$(sed -nE '/^activator/,/^}/s/.*admin *= "(.*)".*/\1/p' "$conf")
fi
log=$dir/log
bin=${ACTIVATOR_BUILD:-build}
activator=
autoscaler=

# One line for each thing that a newcomer wants to see; the whole log is in a file.
tell() {
	trap '' INT TERM
	tee -a "$log" | sed -unE '
		s/^([^ ]+) autoscaler  revision woken  revision=([^ ]+) parked=([^ ]+).*/\1  \2  woken: \3 parked/p; t
		s/^([^ ]+) autoscaler  instance ready  revision=([^ ]+).* took_ms=([^ ]+).*/\1  \2  ready in \3 ms/p; t
		s/^([^ ]+) activator  cold start  revision=([^ ]+) total_ms=([^ ]+).*/\1  \2  first answer after \3 ms/p; t
		s/^([^ ]+) autoscaler  scaled to zero  revision=([^ ]+).*/\1  \2  back to zero/p; t
		s/^([^ ]+) autoscaler  scaled  revision=([^ ]+) from=([^ ]+) to=([^ ]+).*/\1  \2  scaled from \3 to \4/p; t
		s/^([^ ]+) autoscaler  warning: instances cannot be started  revision=([^ ]+).* message="([^"]*)".*/\1  \2  \3/p; t
		/^[0-9:]+ autoscaler  warning: activator gone/d
		/^[0-9:]+ (activator|autoscaler)  (warning|error): /{ p; d }
		/^[0-9:]+ (activator|autoscaler)  /d
		p' >&2
}

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

  Four services, none of them running.  In another terminal:

    curl -i -H 'host: hello.localhost' http://127.0.0.1:8080/   an app of ours, 500 ms to start
    curl -i -H 'host: files.localhost' http://127.0.0.1:8080/   python3 -m http.server
    curl -i -H 'host: wsgi.localhost'  http://127.0.0.1:8080/   gunicorn
    curl -i -H 'host: broken.localhost' http://127.0.0.1:8080/  a program that is not there

  What happens to them is told here; the whole log is in build/demo/log.
  The state of all: curl http://127.0.0.1:8082/status.  Ctrl-C stops everything.

EOT
}

mkdir -p "$dir"
: >"$log"
trap 'stop 0' INT TERM
setsid "$bin/autoscaler" -c "$conf" 2> >(tell) &
autoscaler=$!
setsid "$bin/activator" -c "$conf" 2> >(tell) &
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
