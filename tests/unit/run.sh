#!/bin/sh
# Runs unit test programs, prints one line each and a closing count; fails when one failed.
# Each program gets a folder of its own in $TMPDIR that is removed afterwards.
set -u
passed=0 failed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/emailsec-unit.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT INT TERM
for program in "$@"; do
        name=$(basename "$program")
        mkdir "$work/$name"
        if TMPDIR="$work/$name" CK_DEFAULT_TIMEOUT="${CK_DEFAULT_TIMEOUT:-90}" "$program" >"$work/$name.log" 2>&1; then
                passed=$((passed + 1))
                echo "ok   $name: $(grep -o '^[0-9]*%.*' "$work/$name.log" | tail -n 1)"
        else
                failed=$((failed + 1))
                echo "FAIL $name"
                sed 's/^/     /' "$work/$name.log"
        fi
        rm -rf "${work:?}/$name"
done
echo "unit programs: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
