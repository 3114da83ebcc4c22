/* SPDX-License-Identifier: MIT */
/*
 * `account test` and `probe`: the same session as ever, stopped before any change, each step timed and told
 * as it ends: resolve, connect, tls, certificate, login, capabilities. What it finds counts for the account:
 * its status, its certificate, a challenge. Of a server without an account nothing is recorded.
 */
#pragma once

#include "daemon/accounts/account.h"

struct probe;

struct probe_user {
        void (*step)(void *ctx, json_t *step); /* interface.md's Step; borrowed */
        void (*done)(void *ctx, bool good);    /* once; the probe frees itself */
};

struct probe *probe_account(struct account *account, const struct probe_user *user, void *ctx);
/* A server without an account: transport "smtp", "imap", "pop3"; security "ssl", "starttls", "none"; port 0:
 * the table's. */
struct probe *probe_server(const char *host, uint16_t port, const char *transport, const char *security,
                           const struct probe_user *user, void *ctx);
/* The client has gone: no callback any more. May be called in `step`; the probe ends on the loop's next turn.
 */
void probe_cancel(struct probe *probe);
