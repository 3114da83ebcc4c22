#!/bin/sh
# SPDX-License-Identifier: MIT
# Courier and Cyrus for tests/system/test_server_kinds.py, GNU mailutils for test_signin.py, Exim for test_exim.py. Debian's
# packages of them conflict with Dovecot's and Postfix's, so they are unpacked into FOLDER/courier, FOLDER/cyrus, FOLDER/mailutils
# and FOLDER/exim instead of installed. Needs apt's lists and the network.
set -eu

folder=${1:?usage: unpack-servers.sh FOLDER}

unpack() {
	name=$1
	shift
	rm -rf "${folder:?}/$name.new"
	mkdir -p "$folder/$name.new/deb"
	(cd "$folder/$name.new/deb" && apt-get download -q "$@" && for one in *.deb; do dpkg -x "$one" ..; done)
	rm -rf "$folder/$name.new/deb" "${folder:?}/$name"
	mv "$folder/$name.new" "$folder/$name"
}

unpack courier courier-imap courier-pop courier-base courier-authlib courier-authdaemon courier-authlib-userdb \
	libcourier-unicode4 libltdl7 gamin libgamin0 libgdbm6 libidn12
unpack cyrus cyrus-imapd cyrus-pop3d cyrus-common libclamav12 libical3 libxapian30 libzephyr4 libmspack0 libwrap0 \
	libpcre3 libpq5 libldap-2.5-0 libxml2 libicu72 libsasl2-2
unpack mailutils mailutils-imap4d libmailutils9 libgsasl18 libntlm0 libldap-2.5-0 libwrap0 libmariadb3 libpq5
unpack exim exim4-daemon-light exim4-base
