#!/bin/sh
# Installs the Debian packages of one or more purposes: install-packages.sh build test ...
# The lists are scripts/packages/PURPOSE.txt. Asks apt only for what is missing, so that the usual
# run, with nothing missing, takes no time and needs neither root nor a network.
set -eu

list_dir=$(dirname "$0")/packages
policy=/usr/sbin/policy-rc.d
policy_is_ours=

die() {
  echo "install-packages: $*" >&2
  exit 1
}

# nginx, containerd, Docker, Prometheus and etcd are wanted as programs. Without this their packages would
# start services.
forbid_service_starts() {
  [ -e "$policy" ] && return
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  policy_is_ours=yes
}

restore_policy() {
  [ -z "$policy_is_ours" ] || rm -f "$policy"
}

[ $# -gt 0 ] || die "usage: install-packages.sh PURPOSE..."

wanted=
for purpose; do
  [ -r "$list_dir/$purpose.txt" ] || die "no list of packages for '$purpose'"
  wanted="$wanted $(sed 's/#.*//' "$list_dir/$purpose.txt")"
done

command -v dpkg-query >/dev/null ||
  die "this is not Debian: install the equivalents of these yourself:" $wanted
# shellcheck disable=SC2086  # a list of words
present=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
  sed -n 's/^installed //p' | tr '\n' ' ')
missing=
for package in $wanted; do
  case " $present" in *" $package "*) ;; *) missing="$missing $package" ;; esac
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || die "apt-get is missing; needed packages:$missing"
[ "$(id -u)" = 0 ] || die "run as root, or have an administrator install:$missing"

echo "install-packages: installing$missing"
case " $missing " in *" nginx-light "*) nginx_is_new=yes ;; *) nginx_is_new= ;; esac
case " $missing " in *" containerd "*) containerd_is_new=yes ;; *) containerd_is_new= ;; esac
case " $missing " in *" docker.io "*) docker_is_new=yes ;; *) docker_is_new= ;; esac
case " $missing " in *" prometheus "*) prometheus_is_new=yes ;; *) prometheus_is_new= ;; esac
case " $missing " in *" etcd-server "*) etcd_is_new=yes ;; *) etcd_is_new= ;; esac
trap restore_policy EXIT
trap 'exit 130' INT TERM
forbid_service_starts
export DEBIAN_FRONTEND=noninteractive
apt-get update -q || die "apt-get update failed"
# shellcheck disable=SC2086  # a list of words
apt-get install -q -y -o Dpkg::Use-Pty=0 --no-install-recommends $missing </dev/null ||
  die "apt-get install failed; is this Debian 12 or newer?"
# Nor should the next boot start them. The helper works only for packages' own scripts.
disable() {
  DPKG_MAINTSCRIPT_PACKAGE=$1 deb-systemd-helper disable "$2" >/dev/null 2>&1 || true
}
[ -z "$nginx_is_new" ] || update-rc.d nginx disable >/dev/null 2>&1 || true
[ -z "$containerd_is_new" ] || disable containerd containerd.service
[ -z "$docker_is_new" ] || disable docker.io docker.service
[ -z "$docker_is_new" ] || disable docker.io docker.socket
[ -z "$docker_is_new" ] || update-rc.d docker disable >/dev/null 2>&1 || true
[ -z "$prometheus_is_new" ] || disable prometheus prometheus.service
[ -z "$prometheus_is_new" ] || update-rc.d prometheus disable >/dev/null 2>&1 || true
[ -z "$etcd_is_new" ] || disable etcd-server etcd.service
[ -z "$etcd_is_new" ] || update-rc.d etcd disable >/dev/null 2>&1 || true
