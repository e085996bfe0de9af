#!/bin/bash
# Three pods on this machine and podtap watching them: demo.sh run | stop
#
#   demo-client --curl--> demo-web (nginx) --proxy--> demo-api (python3)
#
# Pods are network namespaces on a bridge; a collector and an agent run beside them. The script makes
# requests, shows them as podtap sees them, checks that none is missing, and removes all it made, also
# when it fails or is interrupted. KEEP=1 leaves everything running until `demo.sh stop`.
set -euo pipefail
cd "$(dirname "$0")/.."
# Programs for administrators, too, however root's shell was started.
PATH=$PATH:/usr/sbin:/sbin
bin=${BIN_DIR:-build/bin}
state=/run/podtap-demo
bridge=podtap-demo
pods=(demo-client demo-web demo-api)
web=10.97.83.2
api=10.97.83.3
# The demo's exchanges among all that the agent sees, without those that only wait for it.
show=(--from-pod 'demo-*' --not --path /ready --not --path /api/ready)

say() {
  printf '\n\033[1m%s\033[0m\n' "$*"
}
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

die() {
  echo "demo: $*" >&2
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "waited too long for $what"
    sleep 0.1
  done
}

# start NAME COMMAND...: in the background, its output in the state folder, its pid noted. COMMAND is
# a program, not a function, so that the pid is the program's.
start() {
  local name=$1
  shift
  "$@" >"$state/$name.log" 2>&1 </dev/null &
  echo "$! $(start_time $!) $name" >>"$state/pids"
}

# Tells a process from a later one with the same pid. Empty when there is none.
start_time() {
  # The name in parentheses may hold spaces.
  sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

is_running() {
  [ -n "$2" ] && [ "$(start_time "$1")" = "$2" ] && ! grep -qs '^State:.Z' "/proc/$1/status"
}

inside() {
  local pod=$1
  shift
  # `ip netns exec` would remount /sys, which a chroot does not allow.
  nsenter --net="/run/netns/$pod" "$@"
}

stop_processes() {
  local pid since name
  [ -f "$state/pids" ] || return 0
  # Newest first: the agent lets go of its taps before the namespaces go.
  while read -r pid since name; do
    is_running "$pid" "$since" || continue
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 50); do
      is_running "$pid" "$since" || break
      sleep 0.1
    done
    if is_running "$pid" "$since"; then
      echo "demo: $name did not stop; killing it" >&2
      kill -9 "$pid" 2>/dev/null || true
    fi
  done < <(tac "$state/pids")
}

# Removes whatever is there of the demo.
remove() {
  local pod
  [ -d "$state" ] || return 0
  stop_processes
  for pod in "${pods[@]}"; do
    [ ! -e "/run/netns/$pod" ] || ip netns del "$pod" || true
    # Deleting a namespace frees its interfaces later; the next demo may not wait for that.
    ip link del "host-${pod#demo-}" 2>/dev/null || true
  done
  ip link del "$bridge" 2>/dev/null || true
  rm -rf "$state"
}

on_exit() {
  local code=$?
  trap - EXIT
  if [ "$code" != 0 ]; then
    for log in collector agent demo-web demo-api; do
      [ ! -s "$state/$log.log" ] || tail -n 20 "$state/$log.log" | sed "s/^/$log: /" >&2
    done
  fi
  remove
  exit "$code"
}

check_machine() {
  [ "$(id -u)" = 0 ] || die "needs root: it makes network namespaces and loads a BPF program"
  local program
  for program in podtap podtap-agent podtap-collector; do
    [ -x "$bin/$program" ] || die "$bin/$program is missing; run: make build"
  done
  [ ! -e "$state" ] || die "a demo is running already; end it with: scripts/demo.sh stop"
  local pod
  for pod in "${pods[@]}"; do
    [ ! -e "/run/netns/$pod" ] || die "there is a network namespace $pod already; not touching it"
    [ ! -e "/sys/class/net/host-${pod#demo-}" ] || die "there is an interface host-${pod#demo-} already"
  done
  [ ! -e "/sys/class/net/$bridge" ] || die "there is an interface $bridge already; not touching it"
}

make_pods() {
  local pod number=0
  ip link add "$bridge" type bridge
  ip link set "$bridge" up
  for pod in "${pods[@]}"; do
    number=$((number + 1))
    ip netns add "$pod"
    ip link add "host-${pod#demo-}" type veth peer name eth0 netns "$pod"
    ip link set "host-${pod#demo-}" master "$bridge" up
    inside "$pod" ip link set lo up
    inside "$pod" ip address add "10.97.83.$number/24" dev eth0
    inside "$pod" ip link set eth0 up
  done
}

start_servers() {
  mkdir "$state/www"
  echo '<h1>hello</h1>' >"$state/www/index.html"
  echo ready >"$state/www/ready"
  head -c 1048576 /dev/zero >"$state/www/large.bin"
  cat >"$state/nginx.conf" <<CONF
daemon off;
pid $state/nginx.pid;
error_log stderr;
worker_processes 1;
events {}
http {
  access_log off;
  client_body_temp_path $state/nginx-body;
  proxy_temp_path $state/nginx-proxy;
  fastcgi_temp_path $state/nginx-fastcgi;
  uwsgi_temp_path $state/nginx-uwsgi;
  scgi_temp_path $state/nginx-scgi;
  server {
    listen 80;
    root $state/www;
    location /api/ {
      proxy_pass http://$api:8080;
      proxy_http_version 1.1;
    }
  }
}
CONF
  start demo-api nsenter --net=/run/netns/demo-api python3 scripts/demo/api.py 8080
  wait_for 15 "demo-api (does a firewall filter bridged packets here?)" \
    inside demo-client curl -fsS -m 2 "http://$api:8080/api/ready"
  start demo-web nsenter --net=/run/netns/demo-web nginx -c "$state/nginx.conf"
  wait_for 15 "demo-web" \
    inside demo-client curl -fsS -m 2 "http://$web/api/ready"
}

# The usual port when it is free, so that `podtap observe` needs no --server.
free_port() {
  python3 -c '
import socket
for port in (4270, 0):
    try:
        with socket.create_server(("127.0.0.1", port)) as server:
            print(server.getsockname()[1])
            break
    except OSError:
        pass'
}

start_podtap() {
  local capabilities=-all,+bpf,+net_raw
  server=127.0.0.1:$(free_port)
  start collector "$bin/podtap-collector" --listen "$server" --store "sqlite:$state/store" \
    --admin-listen ""
  wait_for 15 "the collector" "$bin/podtap" observe --server "$server" --last 1
  start agent setpriv --bounding-set $capabilities --inh-caps $capabilities \
    "$bin/podtap-agent" --collector "$server" --discovery netns --node-name demo-node \
    --admin-listen ""
  wait_for 20 "the agent's first events" is_watching
}

events() {
  "$bin/podtap" observe --server "$server" -o json --last 1000 --from-pod 'demo-*'
}

# Asks until every tap has reported, so that nothing of the show is missed.
is_watching() {
  inside demo-client curl -fsS -m 2 "http://$web/ready" "http://$web/api/ready" &&
    events | python3 scripts/demo/check.py --ready
}

# request METHOD PATH STATUS [MIN_SECONDS] [CURL ARGUMENT]...: makes and notes one request.
request() {
  local method=$1 path=$2 status=$3 least=${4:-0} got
  shift $(($# < 4 ? $# : 4))
  local shape=(-X "$method")
  [ "$method" != HEAD ] || shape=(--head)
  got=$(inside demo-client curl -sS -m 10 -o /dev/null -w '%{http_code}' \
    "${shape[@]}" "$@" "http://$web$path")
  [ "$got" = "$status" ] || die "$method $path was answered $got, not $status"
  echo "$method ${path%%\?*} $status $least" >>"$state/expected"
}

make_requests() {
  request GET / 200
  request HEAD / 200
  request GET "/missing?token=hidden" 404
  request GET /large.bin 200
  request GET /api/items 200
  request POST /api/items 201 0 -d '{"name":"tap"}'
  request PUT /api/items/7 200 0 -d '{"name":"ring"}'
  request GET /api/items/8 404
  request DELETE /api/items/7 204
  request GET /api/slow 200 0.3
  request GET /api/broken 503
  # Two on one connection.
  inside demo-client curl -sS -m 10 -o /dev/null "http://$web/index.html" \
    --next -sS -m 10 -o /dev/null "http://$web/api/items"
  printf '%s\n' "GET /index.html 200 0" "GET /api/items 200 0" >>"$state/expected"
}

follow_is_complete() {
  local requests passed_on
  requests=$(wc -l <"$state/expected")
  passed_on=$(grep -c ' /api/' "$state/expected")
  [ "$(wc -l <"$state/follow")" -ge $((requests + passed_on)) ]
}

show_requests() {
  say "podtap observe --follow --reporter server: one line per exchange, as the serving pod saw it"
  # Whatever is stored between now and the stream's begin is shown too, hence --last.
  "$bin/podtap" observe --server "$server" -o compact --follow --last 1000 \
    --reporter server "${show[@]}" > >(tee "$state/follow") 2>"$state/observe.log" &
  local observe=$!
  echo "$observe $(start_time $observe) observe" >>"$state/pids"
  make_requests
  wait_for 10 "the followed exchanges" follow_is_complete
  kill "$observe"
  wait "$observe" 2>/dev/null || true
}

query() {
  say "podtap observe $*"
  "$bin/podtap" observe --server "$server" -o compact "${show[@]}" "$@"
}

show_queries() {
  query --status 4xx
  query --path '/api/*' --to-pod demo-api --reporter client --last 5
  query --pod demo-api --method POST
  say "The same with grpcurl:"
  cat <<TEXT
  grpcurl -plaintext $server list podtap.v1.QueryService
  grpcurl -plaintext -d '{"include":[{"status":["4xx"]}]}' $server podtap.v1.QueryService/ListEvents
  grpcurl -plaintext -d '{"include":[{"endpoint":{"pod":["demo-api"]},"method":["POST"]}]}' \\
    $server podtap.v1.QueryService/ListEvents
  grpcurl -plaintext -d '{"last":20}' $server podtap.v1.QueryService/FollowEvents
TEXT
}

is_complete() {
  events | python3 scripts/demo/check.py "$state/expected"
}

check_events() {
  say "Check: every request with method, path, status, latency and both pods' names"
  local deadline=$((SECONDS + 10))
  until is_complete >"$state/check" 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      cat "$state/check" >&2
      die "podtap does not show what was done"
    fi
    sleep 0.2
  done
  cat "$state/check"
}

run() {
  check_machine
  mkdir -m 755 "$state"
  trap on_exit EXIT
  trap 'exit 130' INT TERM HUP
  : >"$state/pids"
  : >"$state/expected"
  : >"$state/follow"
  say "Making three pods: ${pods[*]}"
  make_pods
  start_servers
  say "Starting podtap: a collector, and an agent with CAP_BPF and CAP_NET_RAW only"
  start_podtap
  show_requests
  show_queries
  check_events
  [ "${KEEP:-}" = 1 ] || return 0
  trap - EXIT
  say "KEEP=1: still running"
  cat <<TEXT
  make requests:  nsenter --net=/run/netns/demo-client curl http://$web/api/items
  watch:          $bin/podtap observe --server $server --follow
  logs:           $state/agent.log $state/collector.log
  end:            make demo-stop
TEXT
}

case ${1:-} in
  run) run ;;
  stop)
    [ -d "$state" ] || die "no demo is running"
    remove
    ;;
  *) die "usage: demo.sh run | stop" ;;
esac
