#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tools/images.sh VERSION EPOCH sysext|portable…: what tools/package does inside of the toolbox to make images, of the icewire that is in
# build/images. They are called build/package/icewire_VERSION_ARCH.KIND.raw; beside each, in .packages, is from which versions of which
# packages its libraries are. The same sources and libraries give the same images.

set -euo pipefail

NAME=package
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
. "$TOP/tools/lib.sh"
cd "$TOP"

# The host's users have to find what is in an image, whoever makes it.
umask 022

BUILD=build/images
OUT=build/package
CACHE=/var/cache/icewire
# What a program finds in an image as the host's, or made for it.
FOLDERS=(boot dev efi etc/ca-certificates etc/icewire etc/pki etc/ssl home media mnt opt proc root run srv sys tmp usr/lib/ssl
        usr/local/share/ca-certificates usr/share/ca-certificates var/lib/ca-certificates var/tmp)
FILES=(etc/hosts etc/localtime etc/machine-id etc/passwd etc/resolv.conf)

# run_mkosi KIND OUTPUT [OPTION…]
run_mkosi() {
        local kind=$1 output=$2 seed
        shift 2
        mkdir -p "$work/workspace" "$work/packages" "$output"
        seed=$(echo "icewire $kind $version" | sha256sum | sed -E 's/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/\1-\2-\3-\4-\5/')
        mkosi --directory "mkosi/$kind" --sandbox-tree "$work/sandbox" --output-dir "$output" --workspace-dir "$work/workspace" \
                --package-cache-dir "$work/packages" --image-version "$version" --source-date-epoch "$epoch" --seed "$seed" "$@" build
}

# set_times TREE: mkosi makes later ones earlier, but does not make earlier ones later.
set_times() { find "$1" -exec touch --no-dereference --date="@$epoch" {} +; }

# Debian without icewire, in the cache: $base.
make_base() {
        base=$CACHE/base-$(folder_key mkosi/base "make_base run_mkosi")
        if [ ! -e "$base" ]; then
                rm -rf --one-file-system "$CACHE/base-"*
                run_mkosi base "$work/base"
                mv "$work/base/base" "$base"
        fi
}

# What icewire loads when it starts, and what the broker loads later: a name, and where that is.
libraries() {
        local folder
        folder=$(dirname "$(ldd "$BUILD/src/icewire" | sed -n 's/.*libc\.so[^ ]* => \([^ ]*\) .*/\1/p')")
        { ldd "$BUILD/src/icewire" "$folder/libnftables.so.1"; echo "libnftables.so.1 => $folder/libnftables.so.1"; } |
                sed -n 's/^[[:space:]]*\([^ ]*\) => \(\/[^ ]*\).*/\1 \2/p' | LC_ALL=C sort -u
}

# copy_libraries TREE [BASE]: those that BASE lacks; whence they are, in $work/packages.list.
copy_libraries() {
        local name path
        mkdir -p "$1/usr/lib/icewire/lib"
        while read -r name path; do
                [ -z "${2:-}" ] || [ ! -e "$2$path" ] || continue
                cp -L "$path" "$1/usr/lib/icewire/lib/$name"
                dpkg-query --search "$(realpath "$path")" | cut -d: -f1
        done < <(libraries) >"$work/names.list"
        LC_ALL=C sort -u "$work/names.list" | xargs dpkg-query --show >"$work/packages.list"
}

make_sysext() {
        local tree=$work/sysext
        make_base
        DESTDIR=$tree meson install -C "$BUILD" --no-rebuild --quiet --strip
        cp -r --no-preserve=mode mkosi/sysext/tree/. "$tree"
        copy_libraries "$tree" "$base"
        mkdir "$work/root"
        # In a namespace of its own: whatever fails, nothing is mounted when $work is removed.
        # shellcheck disable=SC2016 # expanded inside
        unshare --mount sh -ec 'mount -t overlay -o "lowerdir=$1:$2" overlay "$3" && chroot "$3" icewirectl --version' \
                sh "$tree" "$base" "$work/root"
        set_times "$tree"
        run_mkosi sysext "$work/images" --base-tree "$base" --extra-tree "$tree"
}

make_portable() {
        local tree=$work/portable loader unit
        DESTDIR=$tree meson install -C "$BUILD" --no-rebuild --quiet --strip
        rm -rf "$tree/usr/share/"{man,bash-completion,zsh} "$tree/usr/lib/"{sysusers.d,tmpfiles.d,systemd/catalog,systemd/system-preset}
        copy_libraries "$tree"
        loader=$(ldd "$BUILD/src/icewire" | sed -n 's/^[[:space:]]*\(\/[^ ]*\) .*/\1/p')
        mkdir -p "$tree/usr$(dirname "$loader")"
        cp -L "$loader" "$tree/usr$loader"
        loader=${loader#/}
        ln -s "usr/${loader%%/*}" "$tree/${loader%%/*}"
        (cd "$tree" && mkdir -p "${FOLDERS[@]}" && touch "${FILES[@]}")
        # Where Debian's OpenSSL looks.
        ln -s /etc/ssl/certs /etc/ssl/cert.pem "$tree/usr/lib/ssl/"
        { cat /usr/lib/os-release; echo 'PORTABLE_PREFIXES="icewire icewired"'; } >"$tree/usr/lib/os-release"
        ln -s ../usr/lib/os-release "$tree/etc/os-release"
        for unit in icewired.service icewire-broker.service; do
                cat "mkosi/portable/$unit.conf" >>"$tree/usr/lib/systemd/system/$unit"
        done
        install -m 0755 mkosi/portable/icewirectl "$tree/usr/lib/icewire/"
        chroot "$tree" icewirectl --version
        set_times "$tree"
        run_mkosi portable "$work/images" --base-tree "$tree"
}

version=$1
epoch=$2
shift 2
mkdir -p "$CACHE" "$OUT"
exec 7>"$CACHE/lock"
flock 7
rm -rf --one-file-system "$CACHE/images-"*
work=$(mktemp -d "$CACHE/images-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
mkosi_sandbox "$work/sandbox"
for kind; do
        "make_$kind"
        image=$OUT/icewire_${version}_$(dpkg --print-architecture).$kind
        # One of another version would be taken for this one.
        rm -f "$OUT/icewire_"*".$kind."{raw,packages}
        mv "$work/images/icewire.raw" "$image.raw"
        mv "$work/packages.list" "$image.packages"
        rm -rf --one-file-system "$work/images"
done
