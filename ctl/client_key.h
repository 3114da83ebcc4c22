/* SPDX-License-Identifier: MIT */
/* A client certificate's file, opened here where it has a passphrase: the daemon takes plain PEM only. */
#pragma once

#include "common/buf.h"
#include "ctl/tool.h"

/* Makes PKCS#12, and PEM whose key is encrypted, into PEM with certificate, issuers and plain key; anything
 * else stays as it is, for the daemon to judge. The passphrase is asked for only where there is one.
 * `name` and `path` are what the person gave. 0, or -1 with a cause. */
int client_key_open(const struct tool *tool, const char *name, const char *path, struct buf *content,
                    struct cause *cause) must_use;
