#!/bin/sh
# Builds the Debian packages: conf/make-deb.sh VERSION FOLDER. What git knows or would take (without git: everything
# but build/) is copied to FOLDER/emailsecd-VERSION with conf/debian as debian/; the packages appear in FOLDER.
set -eu
version=$1
out=$2
tree=$out/emailsecd-$version

rm -rf "$out"
mkdir -p "$tree"
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
	git ls-files -z --cached --others --exclude-standard
else
	find . \( -path ./build -o -path ./.git -o -name __pycache__ -o -name .pytest_cache \) -prune -o -type f -print0
fi | tar -c --null --ignore-failed-read --warning=no-failed-read -T - | tar -x -C "$tree"
cp -R "$tree/conf/debian" "$tree/debian"
chmod -R u+rwX,go=rX "$tree"
cd "$tree"
# The result depends on the sources alone: not on who calls, with what flags, or when.
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent LC_ALL=C.UTF-8 TZ=UTC \
	DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-}" \
	SOURCE_DATE_EPOCH="$(dpkg-parsechangelog -S Timestamp)" dpkg-buildpackage -us -uc -b
