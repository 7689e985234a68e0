#!/bin/bash
# Becomes a systemd of its own, as PID 1 of new namespaces, on a throw-away copy of this host: see private-systemd.ts.
#
#   private-systemd.sh WORK SOURCE CGROUP...
#
# Environment: SYSTEMD_TEST_TREE, the root folder of another system to copy instead, with a systemd of another version.
# WORK    an empty folder; gets `pid`, the number of the private PID 1 on the host
# SOURCE  appears read-only as /source
# CGROUP  a cgroup in each hierarchy that the private systemd may use
set -euo pipefail

work=$1 source=$2
shift 2

# The cgroups first: what a process is in when its cgroup namespace begins becomes the root that it sees.
if [ -z "${in_cgroup:-}" ]; then
  for group in "$@"; do echo 0 > "$group/cgroup.procs"; done
  # /proc is still the host's here, and so are its numbers.
  read -r pid _ < /proc/self/stat
  echo "$pid" > "$work/pid.new"
  mv "$work/pid.new" "$work/pid"
  in_cgroup=1 exec unshare --cgroup /bin/bash "$0" "$work" "$source" "$@"
fi

root=$work/root
umask 022
mkdir "$root" "$work/layer"
mount -t tmpfs -o size=3G tmpfs "$work/layer"
mkdir "$work/layer/upper" "$work/layer/work"
mount -t overlay -o "lowerdir=${SYSTEMD_TEST_TREE:-/},upperdir=$work/layer/upper,workdir=$work/layer/work" overlay "$root"

mount -t proc proc "$root/proc"
# Read-only, or the private system would set the kernel parameters of the host.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"

groups=$root/sys/fs/cgroup
if grep -q '^[^ ]* [^ ]* cgroup ' /proc/mounts; then
  # A host with controllers of the first version: the same hierarchies, and the second version beside them.
  mount -t tmpfs -o mode=755 tmpfs "$groups"
  while IFS=: read -r _ controllers _; do
    case $controllers in
      '') name=unified ;;
      name=*) name=${controllers#name=} ;;
      *) name=$controllers ;;
    esac
    mkdir -p "$groups/$name"
    case $controllers in
      '') mount -t cgroup2 cgroup2 "$groups/$name" ;;
      name=*) mount -t cgroup -o "none,$controllers" cgroup "$groups/$name" ;;
      *) mount -t cgroup -o "$controllers" cgroup "$groups/$name" ;;
    esac
    for alias in ${name//,/ }; do [ -e "$groups/$alias" ] || ln -s "$name" "$groups/$alias"; done
  done < /proc/self/cgroup
  if [ ! -d "$groups/systemd" ]; then
    mkdir "$groups/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$groups/systemd"
  fi
else
  mount -t cgroup2 cgroup2 "$groups"
fi

mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

for folder in run tmp etc/systemd/system var/log/journal; do
  mkdir -p "$root/$folder"
  mount -t tmpfs -o mode=755 tmpfs "$root/$folder"
done
chmod 1777 "$root/tmp"
mkdir "$root/source"
mount --bind "$source" "$root/source"
mount -o remount,bind,ro "$root/source"

ip link set lo up
hostname private
rm -f "$root/etc/machine-id" "$root/etc/fstab"
: > "$root/etc/machine-id"
: > "$root/etc/fstab"
# What has nothing to do here, or would reach for the devices of the host.
for unit in systemd-{firstboot,udevd,udev-trigger,logind,networkd,resolved,timesyncd,modules-load,sysctl,binfmt}.service \
  systemd-udevd-{control,kernel}.socket \
  dev-hugepages.mount sys-kernel-{debug,tracing,config}.mount sys-fs-fuse-connections.mount \
  proc-sys-fs-binfmt_misc.automount; do
  ln -s /dev/null "$root/etc/systemd/system/$unit"
done

cd "$root"
mkdir .old
pivot_root . .old
umount -l /.old
rmdir /.old
# As at a real boot; without it credentials would be empty folders.
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
  --system --unit=basic.target --show-status=0 --log-target=journal < /dev/null
