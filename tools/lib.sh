# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What tools/demo, tools/check and tools/bench share. The caller has set NAME, and TOP, the source tree.

say() { printf '%s: %s\n' "$NAME" "$*"; }

# quietly LOG WHAT CMD…: runs a long step with its output in LOG; a line now and then shows that it lives, on a terminal or
# not. The step's exit status. The step is a process group of its own, which ends with us: Ctrl-C does not reach what a script
# runs in the background.
quietly() {
        local log=$1 what=$2 start=$SECONDS pid
        shift 2
        mkdir -p "$(dirname "$log")"
        set -m
        "$@" >"$log" 2>&1 </dev/null &
        pid=$!
        set +m
        # shellcheck disable=SC2064 # this group
        trap "say '$what: interrupted, its log is $log'; kill -KILL -- -$pid 2>/dev/null; exit 130" INT TERM HUP
        while kill -0 "$pid" 2>/dev/null; do
                sleep 0.2
                if ((SECONDS - start >= ${next:=20})); then
                        next=$((SECONDS - start + 20))
                        say "… $what, $((SECONDS - start)) s: $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-90)"
                fi
        done
        unset next
        trap - INT TERM HUP
        wait "$pid"
}

# What configure_and_build builds; empty: everything.
TARGETS=()

# configure_and_build DIR [MESON OPTION…]: inside the build environment; a build directory that was made with other
# options or elsewhere, or that an interrupted set-up left, is set up again.
configure_and_build() {
        local dir=$1 stamp
        shift
        stamp=$(printf '%s\n' "$TOP" "$@" | sha256sum | cut -d' ' -f1)
        if [ ! -e "$TOP/$dir/build.ninja" ] || [ "$(cat "$TOP/$dir/.options" 2>/dev/null)" != "$stamp" ]; then
                rm -rf "${TOP:?}/$dir/meson-private" "${TOP:?}/$dir/meson-info" "${TOP:?}/$dir/build.ninja"
                "$TOP/tools/toolbox" meson setup "$dir" "$@" || return
                printf '%s\n' "$stamp" >"$TOP/$dir/.options"
        fi
        "$TOP/tools/toolbox" ninja -C "$dir" "${TARGETS[@]}"
}

RELEASE_OPTIONS=(--buildtype=release -Dwerror=true)

# What build_release builds; the caller may add to it.
RELEASE_TARGETS=(src/icewired src/icewire-broker src/icewirectl)

# The optimised build that tools/demo and tools/bench run, without the tests.
build_release() {
        local TARGETS=("${RELEASE_TARGETS[@]}")
        quietly "$TOP/build/release.log" "building icewire" configure_and_build build/release "${RELEASE_OPTIONS[@]}" && return
        tail -n 30 "$TOP/build/release.log"
        say "FAILED: the build; its log is build/release.log"
        exit 1
}

# The names of the sources, with a NUL after each: what git knows of the working tree, changed or not; where git is not, or does not
# trust who owns them, everything but what has been built.
source_files() {
        local file
        if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
                # Not those that are gone, without git knowing it yet.
                git ls-files -z --cached --others --exclude-standard --deduplicate | while IFS= read -r -d '' file; do
                        [ ! -e "$file" ] && [ ! -L "$file" ] || printf '%s\0' "$file"
                done
        else
                find . -path './build*' -prune -o -path ./.git -prune -o ! -type d -print0
        fi
}

# mkosi_sandbox DIR: for mkosi's --sandbox-tree, inside of the toolbox. Debian by the archive that this host uses; mkosi's own idea of
# it has parts that not every mirror has: it writes none if there is a file of this name.
mkosi_sandbox() {
        mkdir -p "$1/etc/apt/sources.list.d" "$1/etc/apt/apt.conf.d"
        printf '%s\n' "Types: deb" "URIs: $("$TOP/tools/toolbox" --mirror)" "Suites: trixie" "Components: main" \
                "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" >"$1/etc/apt/sources.list.d/mkosi.sources"
        "$TOP/tools/toolbox" --proxies >"$1/etc/apt/apt.conf.d/90host-proxies"
}

# folder_key DIR "FUNCTION…" [FIND OPTION…]: what an image depends on that these functions have mkosi make of a folder.
folder_key() {
        # shellcheck disable=SC2086 # words
        (declare -f $2 mkosi_sandbox && mkosi --version && cd "$1" &&
                find . "${@:3}" ! -type d -printf '%p %m %l\n' | LC_ALL=C sort &&
                find . "${@:3}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -c 1-16
}
