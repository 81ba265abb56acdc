# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# complete.bash SCRIPT LINE prints what the function of SCRIPT offers at the end of LINE, with the words as readline makes them.

# shellcheck source=/dev/null
. "$1"
COMP_LINE=$2 COMP_POINT=${#2}
words=$2
for c in '=' ':'; do words=${words//"$c"/ "$c" }; done
read -ra COMP_WORDS <<<"$words"
[[ $2 != *' ' ]] || COMP_WORDS+=('')
# shellcheck disable=SC2034 # bash sets it, too
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_icewirectl
printf '%s\n' "${COMPREPLY[@]}"
