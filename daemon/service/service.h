/* SPDX-License-Identifier: MIT */
/*
 * The station as a whole: opens and closes everything in order, starts an account's sender or receiver,
 * reacts to trust decisions and to time (expiry of mail, of exemptions, of the day), and tells how it stands.
 */
#pragma once

#include "common/json_fields.h"
#include "daemon/accounts/account.h"
#include "daemon/settings.h"

/* `settings` become those in use (settings_current), borrowed until service_close. May block (start). -1:
 * nothing was opened. */
int service_open(const struct settings *settings, struct cause *cause) must_use;
/* Ends sessions in order (at most `ms`), then calls `ended` on the loop. */
void service_end(int64_t ms, void (*ended)(void *ctx), void *ctx);
void service_close(void);
/* New settings (already read and valid), credentials and system trust. */
void service_reload(const struct settings *settings, json_t *warnings);
struct trust_settings;
/* What of the settings the trust stores are read by; borrowed as those. */
void service_trust_settings(struct trust_settings *out);
bool service_ending(void);
/* One line for sd_notify STATUS= ; the caller frees. */
char *service_line(void) must_use;
/* How many things are wrong with the station itself: its disk, its trust stores. */
size_t service_fault_count(void);

/* The machine's surroundings changed (daemon/netmon): accounts that are down are tried at once, sessions over
 * a way that has gone are made anew; mail gets no older by a clock that was set. */
void service_network_changed(void);
void service_woke(int64_t seconds);
void service_clock_was_set(int64_t seconds);
/* What these have under way, for thousands of accounts takes several turns of the loop, comes to its end. */
void service_network_stop(void);
/* What time brings (ends of exemptions, of mail's lifetime) is looked at now. */
void service_look_at_time(void);

/* GetStatus, in pieces; account NULL = all, of which `most` are listed: where there are more, those with the
 * worst trouble before the others. NULL with a cause when there is none of that name. */
struct status_work;
struct status_work *service_status_begin(const char *account, size_t most, struct cause *cause) must_use;
/* Writes the next piece of {"status": ...}; false: it was the last one. */
bool service_status_next(void *work, struct json_writer *out);
void service_status_end(void *work);
/* [{account, check, verdict, text, remedy}] under `findings`, likewise. */
struct audit_work;
struct audit_work *service_audit_begin(void) must_use;
bool service_audit_next(void *work, struct json_writer *out);
void service_audit_end(void *work);
