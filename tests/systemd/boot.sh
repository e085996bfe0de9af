#!/bin/bash
# Boots systemd on this machine's own files: boot.sh SCRATCH_DIR INSTALLED_TREE
#
# Runs as process 1 of fresh pid, mount, network, cgroup, uts and ipc namespaces. What the guest writes is
# in memory. Of the units of the system only the journal is started; the installed tree's are there to start.
set -euo pipefail
scratch=$1
installed=$2

mount --make-rprivate /
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch"/{upper,work,root}
mount -t overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$scratch/root"
root=$scratch/root

# What the machine starts at boot would mend the kernel's settings and look for devices.
rm -rf "$root"/{usr/,}lib/systemd/system/*.wants "$root"/etc/systemd/system "$root"/etc/podtap
mkdir -p "$root/etc/systemd/system/basic.target.wants"
ln -s /usr/lib/systemd/system/systemd-journald.service "$root/etc/systemd/system/basic.target.wants/"
ln -s /usr/lib/systemd/system/basic.target "$root/etc/systemd/system/default.target"
: >"$root/etc/machine-id"
cp -a "$installed"/* "$root/"

mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
for directory in run tmp dev; do
  mount -t tmpfs -o mode=755 tmpfs "$root/$directory"
done
for device in null zero full random urandom tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
: >"$root/dev/console"

# The same version of control groups as outside.
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
  mkdir "$root"/sys/fs/cgroup/{systemd,unified}
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
fi

ip link set lo up
mkdir "$root/outside"
cd "$root"
pivot_root . outside
umount -l /outside
exec env -i container=podtap-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
