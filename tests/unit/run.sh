#!/bin/sh
# Runs unit test programs, UNIT_JOBS at a time since many wait; prints one line each and a closing count; fails when one
# failed. Each program gets a folder of its own in $TMPDIR that is removed afterwards.
set -u
if [ "$1" = --one ]; then
        work=$2 program=$3 name=$(basename "$3")
        mkdir "$work/$name"
        if TMPDIR="$work/$name" CK_DEFAULT_TIMEOUT="${CK_DEFAULT_TIMEOUT:-90}" "$program" >"$work/$name.log" 2>&1; then
                echo "ok   $name: $(grep -o '^[0-9]*%.*' "$work/$name.log" | tail -n 1)"
        else
                { echo "FAIL $name"; sed 's/^/     /' "$work/$name.log"; } >"$work/$name.told"
                cat "$work/$name.told" # at once, so that no other line comes between
                : >"$work/$name.failed"
        fi
        rm -rf "${work:?}/$name"
        exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/emailsec-unit.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT INT TERM
printf '%s\n' "$@" | xargs -n 1 -P "${UNIT_JOBS:-3}" sh "$0" --one "$work"
failed=$(find "$work" -name '*.failed' | wc -l)
echo "unit programs: $(($# - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
