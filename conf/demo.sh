#!/bin/bash
# demo.sh - starts both programs with conf/demo.conf, prints a line for each thing that
# happens to the services, and stops both programs on Ctrl-C.  `make run` builds them first.
# `demo.sh --certificate DIR` only makes the certificate that conf/demo.conf names, below DIR.
set -u
cd "$(dirname "$0")/.." || exit 1

# Its own authority, so that curl can be told to trust it.  It names each host: for OpenSSL, and so
# for curl, *.localhost matches nothing, as a wildcard right below a top-level name.
make_certificate() {
	mkdir -p "$1"
	openssl x509 -noout -checkhost shop.localhost -in "$1/localhost.pem" 2>/dev/null |
		grep -q 'does match' && return
	openssl req -x509 -nodes -newkey ec \
		-pkeyopt ec_paramgen_curve:P-256 -days 3650 -subj /CN=localhost \
		-addext "subjectAltName=$(printf 'DNS:%s.localhost,' hello files wsgi broken shop)DNS:localhost" \
		-keyout "$1/localhost.key" -out "$1/localhost.pem" 2>/dev/null
}

if [ "${1:-}" = --certificate ]; then
	make_certificate "$2"
	exit
fi
conf=${DEMO_CONF:-conf/demo.conf}
dir=build/demo
admin=127.0.0.1:8081
if [ "$conf" != conf/demo.conf ]; then # of a test: it has a folder and addresses of its own
	dir=$(dirname "$conf")
	admin=$(sed -nE '/^activator/,/^}/s/.*admin *= "(.*)".*/\1/p' "$conf")
fi
log=$dir/log
bin=${ACTIVATOR_BUILD:-build}
activator=
autoscaler=

# Write the whole log to a file, and show a line for each thing that a newcomer wants to see.
tell() {
	trap '' INT TERM
	tee -a "$log" | sed -unE '
		s/^([^ ]+) autoscaler  revision woken  revision=([^ ]+) parked=([^ ]+).*/\1  \2  woken: \3 parked/p; t
		s/^([^ ]+) autoscaler  instance ready  revision=([^ ]+).* took_ms=([^ ]+).*/\1  \2  ready in \3 ms/p; t
		s/^([^ ]+) activator  cold start  revision=([^ ]+) total_ms=([^ ]+).*/\1  \2  first answer after \3 ms/p; t
		s/^([^ ]+) autoscaler  scaled to zero  revision=([^ ]+).*/\1  \2  back to zero/p; t
		s/^([^ ]+) autoscaler  scaled  revision=([^ ]+) from=([^ ]+) to=([^ ]+).*/\1  \2  scaled from \3 to \4/p; t
		s/^([^ ]+) autoscaler  warning: instances cannot be started  revision=([^ ]+).* message="([^"]*)".*/\1  \2  \3/p; t
		s/^([^ ]+) autoscaler  stored service changed  command=([^ ]+) service=([^ ]+).*/\1  \3  activatorctl \2/p; t
		s/^([^ ]+) autoscaler  rollout takes a step  service=([^ ]+) revision=([^ ]+) percent=([^ ]+).*/\1  \2  rollout: \3 gets \4%/p; t
		s/^([^ ]+) autoscaler  rollout done  service=([^ ]+) revision=([^ ]+).*/\1  \2  rollout to \3 done/p; t
		s/^([^ ]+) autoscaler  warning: rollout aborted.*  service=([^ ]+) revision=([^ ]+) at_percent=([^ ]+) why="([^"]*)".*/\1  \2  rollout to \3 aborted at \4%: \5/p; t
		/^[0-9:]+ autoscaler  warning: activator disconnected/d
		/^[0-9:]+ (activator|autoscaler)  (warning|error): /{ p; d }
		/^[0-9:]+ (activator|autoscaler)  /d
		p' >&2
}

# After an upgrade the activator is another process, of the same process group.
has_activator() {
	kill -0 -- "-$activator" 2>/dev/null
}

# Both programs run in sessions of their own: Ctrl-C reaches only this script, which stops the
# activator first.
stop() {
	trap '' INT TERM
	echo
	echo "stopping"
	{
		kill -TERM -- "-$activator" || kill -TERM "$activator"
		wait "$activator"
		while has_activator; do sleep 0.1; done
		kill -TERM "$autoscaler"
		wait "$autoscaler"
	} 2>/dev/null
	echo "stopped"
	exit "$1"
}

say_hello() {
	cat <<'EOT'

  Four services, none of them running.  In another terminal:

    curl -i -H 'host: hello.localhost' http://127.0.0.1:8080/   a sample app, 500 ms to start
    curl -i -H 'host: files.localhost' http://127.0.0.1:8080/   python3 -m http.server
    curl -i -H 'host: wsgi.localhost'  http://127.0.0.1:8080/   gunicorn
    curl -i -H 'host: broken.localhost' http://127.0.0.1:8080/  a program that does not exist

  And by TLS, with a certificate that was made for this demo:

    curl -i --cacert build/demo/localhost.pem https://hello.localhost:8443/

  This terminal shows what happens to them; the whole log is in build/demo/log.
  The state of everything: build/activatorctl -c conf/demo.conf list, or top, or --help.
  Ctrl-C stops everything.

EOT
}

mkdir -p "$dir"
make_certificate "$dir" || exit 1
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
while kill -0 "$autoscaler" 2>/dev/null && has_activator; do
	sleep 0.5
done
echo "one of the two programs has ended by itself; see $log"
stop 1
