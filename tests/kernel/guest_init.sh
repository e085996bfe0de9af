#!/bin/busybox sh
# First process of the guest: makes two pods, runs the agent beside them with two capabilities, and
# prints what it saw. kernel_test.py packs this as /init and reads the serial console.
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/sbin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
echo "guest: kernel $(uname -r)"

end() {
  echo "guest: $*"
  poweroff -f
}

# Waits at most 15 s for a command to succeed.
wait_for() {
  tries=150
  until "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    sleep 0.1
  done
}

insmod /veth.ko || end "no veth"
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
# Addresses are usable at once.
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
mkdir -p /run/netns

other_namespace() {
  [ "$(readlink /proc/"$1"/ns/net)" != "$(readlink /proc/self/ns/net)" ]
}

# pod NAME NUMBER: a named network namespace behind a veth, routed by the host. The veth's ends have
# the names that the kernel gives them (busybox can't choose the peer's).
pod() {
  unshare -n sleep 1000 &
  pid=$!
  wait_for other_namespace $pid || end "no namespace for $1"
  touch /run/netns/"$1"
  mount -o bind /proc/$pid/ns/net /run/netns/"$1"
  ip link add host-"$1" type veth
  ip link set veth0 netns $pid
  ip addr add 10.99."$2".1/24 dev host-"$1"
  ip addr add fd00:99:"$2"::1/64 dev host-"$1"
  ip link set host-"$1" up
  nsenter -t $pid -n sh -c "
    echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
    echo 0 >/proc/sys/net/ipv6/conf/veth0/accept_dad
    ip link set lo up
    ip addr add 10.99.$2.2/24 dev veth0
    ip addr add fd00:99:$2::2/64 dev veth0
    ip link set veth0 up
    ip route add default via 10.99.$2.1
    ip -6 route add default via fd00:99:$2::1"
}

pod web 1
web_pid=$pid
pod client 2
client_pid=$pid
mkdir /www
echo hello | tee /www/index.html >/www/ready
nsenter -t $web_pid -n httpd -p 8080 -h /www || end "no httpd"

client() {
  nsenter -t $client_pid -n "$@"
}

fetch() {
  client wget -q -O /dev/null "http://$1:8080$2"
}

wait_for fetch 10.99.1.2 /index.html || end "no IPv4 between pods"
wait_for fetch "[fd00:99:1::2]" /index.html || end "no IPv6 between pods"
echo "guest: pods are up"

capabilities=-all,+bpf,+net_raw
/setpriv --bounding-set $capabilities --inh-caps $capabilities \
  /podtap-agent --stdout -o json --discovery netns --node-name guest --admin-listen "" --rings 2 \
  >/tmp/events 2>/tmp/agent.log &
agent=$!

# True when both pods' taps have reported an exchange: from here on nothing is missed.
is_watching() {
  fetch 10.99.1.2 /ready
  kill -0 $agent 2>/dev/null || end_with_log "the agent ended by itself"
  grep '/ready' /tmp/events | grep -q REPORTER_CLIENT &&
    grep '/ready' /tmp/events | grep -q REPORTER_SERVER
}

end_with_log() {
  sed 's/^/agent-log: /' /tmp/agent.log
  sed 's/^/event: /' /tmp/events
  end "$@"
}

wait_for is_watching || end_with_log "the agent shows no exchange"
grep CapEff /proc/$agent/status | sed 's/^/guest: /'

fetch 10.99.1.2 /index.html
fetch 10.99.1.2 /missing
fetch "[fd00:99:1::2]" /index.html?secret=1
printf 'POST /orders HTTP/1.0\r\nContent-Length: 5\r\n\r\n12345' |
  client nc -w 5 10.99.1.2 8080 >/dev/null

# The last request, by both reporters.
saw_last() {
  [ "$(grep -c '/orders' /tmp/events)" -ge 2 ]
}
wait_for saw_last
kill -TERM $agent
wait $agent
status=$?
sed 's/^/agent-log: /' /tmp/agent.log
sed 's/^/event: /' /tmp/events
echo "guest: agent exit code $status"
end "done"
