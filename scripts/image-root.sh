#!/bin/sh
# Makes the root of the container image: image-root.sh BUILD_DIR ROOT
#
# Takes the programs of a built tree, stripped, and the libraries that they load, from the packages of
# this Debian. Beside them lie the licences and the list of packages: those whose files are here, in
# the form that scanners of images read, and those whose headers or archives were compiled in.
set -eu
build_dir=$1
root=$2
bin_dir=$build_dir/bin
programs="podtap podtap-agent podtap-collector"
# Files of the image carry this time, so that equal sources give equal images.
: "${SOURCE_DATE_EPOCH:=0}"
nobody=65532

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The packages that own files, one "NAME" a line. Since /lib became /usr/lib, a file may be known to
# dpkg by either.
owners() {
  while read -r path; do
    dpkg -S "$path" 2>/dev/null || dpkg -S "${path#/usr}" 2>/dev/null || dpkg -S "/usr$path" || {
      echo "image-root: $path belongs to no package" >&2
      exit 1
    }
  done | sed 's/: .*//; s/,.*//' | sort -u
}

copy_programs() {
  mkdir -p "$root/usr/bin"
  for name in bin lib lib64; do
    [ ! -L "/$name" ] || cp -P "/$name" "$root/$name"
  done
  for program in $programs; do
    strip -o "$root/usr/bin/$program" "$bin_dir/$program"
  done
}

# Under the names by which they are loaded; `ldd` names the loader itself without an arrow.
copy_libraries() {
  for program in $programs; do
    ldd "$bin_dir/$program"
  done >"$scratch/ldd"
  ! grep 'not found' "$scratch/ldd" >&2
  sed -n 's/^.*\(=> \|^\t\)\(\/[^ ]*\) (.*$/\2/p' "$scratch/ldd" | sort -u >"$scratch/libraries"
  while read -r path; do
    mkdir -p "$root$(readlink -f "$(dirname "$path")")"
    cp -L "$path" "$root$path"
  done <"$scratch/libraries"
  xargs readlink -f <"$scratch/libraries" | owners >"$scratch/packages"
}

# What the objects were compiled from, as the build knows it.
find_compiled_in() {
  ninja -C "$build_dir" -t deps | sed -n 's/^    \(\/usr\/.*\)/\1/p' | xargs readlink -f | sort -u |
    owners >"$scratch/compiled-in"
}

# Lines of "NAME VERSION ARCHITECTURE SOURCE".
describe() {
  xargs dpkg-query -W -f '${Package} ${Version} ${Architecture} ${source:Package}\n' <"$1" | sort
}

write_package_lists() {
  doc=$root/usr/share/doc
  mkdir -p "$root/var/lib/dpkg/status.d" "$doc/podtap"
  while read -r package; do
    name=${package%%:*}
    dpkg-query -s "$package" >"$root/var/lib/dpkg/status.d/$name"
    mkdir -p "$doc/$name"
    cp -L "/usr/share/doc/$name/copyright" "$doc/$name/copyright"
  done <"$scratch/packages"
  {
    echo "# Debian packages whose files are in this image: name, version, architecture, source."
    describe "$scratch/packages"
    echo "# Packages whose headers or archives were compiled into the programs."
    describe "$scratch/compiled-in"
  } >"$doc/podtap/packages.txt"
  cp LICENSE "$doc/podtap/"
  cp -R LICENSES "$doc/podtap/"
}

write_the_rest() {
  mkdir -p "$root/etc" "$root/run" "$root/tmp" "$root/var/lib/podtap"
  # Container runtimes name the pods' namespaces by the old path.
  ln -s /run "$root/var/run"
  chmod 1777 "$root/tmp"
  # The collector's store, when nothing is mounted there.
  chown "$nobody:$nobody" "$root/var/lib/podtap"
  cp -L /etc/os-release "$root/etc/os-release"
  # Without it the C library asks DNS before it looks into /etc/hosts.
  echo "hosts: files dns" >"$root/etc/nsswitch.conf"
  printf 'root:x:0:0:root:/:/\npodtap:x:%s:%s:podtap:/:/\n' "$nobody" "$nobody" >"$root/etc/passwd"
  printf 'root:x:0:\npodtap:x:%s:\n' "$nobody" >"$root/etc/group"
}

copy_programs
copy_libraries
find_compiled_in
write_package_lists
write_the_rest
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
