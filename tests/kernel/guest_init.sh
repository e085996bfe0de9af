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

for module in /modules/*.ko; do
  insmod "$module" || end "no $module"
done
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
# Addresses are usable at once.
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
mkdir -p /run/netns

other_namespace() {
  [ "$(readlink /proc/"$1"/ns/net)" != "$(readlink /proc/self/ns/net)" ]
}

# A named network namespace.
namespace() {
  unshare -n sleep 1000 &
  pid=$!
  wait_for other_namespace $pid || end "no namespace for $1"
  touch /run/netns/"$1"
  mount -o bind /proc/$pid/ns/net /run/netns/"$1"
}

# pod NAME NUMBER KIND PEER: one behind a pair of interfaces of that kind, routed by the host. PEER is
# the name that the kernel gives the pod's end (busybox can't choose it).
pod() {
  namespace "$1"
  ip link add host-"$1" type "$3" || end "no $3"
  ip link set "$4" netns $pid
  ip link set host-"$1" up
  nsenter -t $pid -n sh -c "
    echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
    echo 0 >/proc/sys/net/ipv6/conf/$4/accept_dad
    ip link set lo up
    ip link set $4 up"
}

# address NUMBER HOST_INTERFACE POD_INTERFACE: of the newest pod.
address() {
  ip addr add 10.99."$1".1/24 dev "$2"
  ip addr add fd00:99:"$1"::1/64 dev "$2"
  nsenter -t $pid -n sh -c "
    ip addr add 10.99.$1.2/24 dev $3
    ip addr add fd00:99:$1::2/64 dev $3
    ip route add default via 10.99.$1.1
    ip -6 route add default via fd00:99:$1::1"
}

www() {
  nsenter -t $pid -n httpd -p 8080 -h /www || end "no httpd"
}

mkdir /www
echo hello | tee /www/index.html >/www/ready

pod web 1 veth veth0
address 1 host-web veth0
www
pod client 2 veth veth0
address 2 host-client veth0
client_pid=$pid

# Tagged frames on the veth.
pod tagged 3 veth veth0
ip link add link host-tagged name host-tagged.7 type vlan id 7 || end "no VLAN"
ip link set host-tagged.7 up
nsenter -t $pid -n sh -c "
  ip link add link veth0 name veth0.7 type vlan id 7
  ip link set veth0.7 up"
address 3 host-tagged.7 veth0.7
www

servers="10.99.1.2 10.99.3.2"
# Linux 6.7.
if grep -q ' netkit_init$' /proc/kallsyms; then
  pod netkit 4 netkit nk0
  address 4 host-netkit nk0
  www
  servers="$servers 10.99.4.2"
fi

client() {
  nsenter -t $client_pid -n "$@"
}

fetch() {
  client wget -q -O /dev/null "http://$1:8080$2"
}

for server in $servers; do
  wait_for fetch $server /index.html || end "no IPv4 between pods: $server"
done
wait_for fetch "[fd00:99:1::2]" /index.html || end "no IPv6 between pods"
echo "guest: pods are up"

capabilities=-all,+bpf,+net_raw
/setpriv --bounding-set $capabilities --inh-caps $capabilities \
  /podtap-agent --stdout -o json --discovery netns --node-name guest --admin-listen "" --rings 2 \
  >/tmp/events 2>/tmp/agent.log &
agent=$!

# ipvlan ADDRESS: no interface of the host leads to the newest pod.
ipvlan() {
  ip link add link parent name inside type ipvlan || end "no ipvlan"
  ip link set inside netns $pid
  nsenter -t $pid -n sh -c "
    ip link set lo up
    ip addr add $1/24 dev inside
    ip link set inside up"
}

# True when all pods' taps have reported an exchange: from here on nothing is missed.
is_watching() {
  kill -0 $agent 2>/dev/null || end_with_log "the agent ended by itself"
  for server in $servers; do
    fetch $server /ready
    for reporter in CLIENT SERVER; do
      grep '/ready' /tmp/events | grep "\"$server\"" | grep -q REPORTER_$reporter || return 1
    done
  done
}

end_with_log() {
  sed 's/^/agent-log: /' /tmp/agent.log
  sed 's/^/event: /' /tmp/events
  end "$@"
}

wait_for is_watching || end_with_log "the agent shows no exchange"
grep CapEff /proc/$agent/status | sed 's/^/guest: /'

for server in $servers; do
  fetch $server /index.html
done
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

# An agent that may enter pods, which takes one capability more.
ip link add parent type dummy || end "no dummy"
ip link set parent up
namespace below
ipvlan 10.99.5.2
www
below_pid=$pid
namespace beside
ipvlan 10.99.5.3
client_pid=$pid
wait_for fetch 10.99.5.2 /index.html || end "no IPv4 between pods of one parent"
capabilities=$capabilities,+sys_admin
/setpriv --bounding-set $capabilities --inh-caps $capabilities \
  /podtap-agent --stdout -o json --discovery netns --node-name guest --admin-listen "" \
  --pod-netns fallback --pod-loopback >/tmp/events 2>/tmp/agent.log &
agent=$!
servers=10.99.5.2
wait_for is_watching || end_with_log "the agent shows no exchange of pods without a host interface"
fetch 10.99.5.2 /inside
nsenter -t $below_pid -n wget -q -O /dev/null http://127.0.0.1:8080/loopback
nsenter -t $below_pid -n wget -q -O /dev/null "http://[::1]:8080/loopback"
saw_inside() {
  [ "$(grep -c '/inside' /tmp/events)" -ge 2 ] && [ "$(grep -c '/loopback' /tmp/events)" -ge 2 ]
}
wait_for saw_inside
kill -TERM $agent
wait $agent
status=$?
sed 's/^/agent-log: /' /tmp/agent.log
sed 's/^/inside: /' /tmp/events
echo "guest: second agent exit code $status"
end "done"
