/* SPDX-License-Identifier: MIT */
/* THE table of socket methods: name, who may call it, how large a call is, how it is called, who handles it,
 * what it takes. */
#pragma once

#include "common/limits.h"
#include "daemon/control/client.h"
#include "daemon/control/parameters.h"

enum {
        METHOD_MORE = 1,    /* must be called with `more` */
        METHOD_ENDING = 2,  /* still answered while the daemon ends */
        METHOD_WAITS = 4,   /* may wait long for something to happen */
        METHOD_CHANGES = 8, /* changes something, or hands out all: what, and by whom, goes into the audit
                               trail (audit.h) */
};

struct method {
        const char *name; /* "io.emailsec.EmailService.GetStatus" */
        enum permission permission;
        size_t size, values; /* of a call at most: bytes, and JSON values in them */
        unsigned flags;
        void (*handle)(struct call *call);
        struct taken takes[TAKEN_MAX + 1]; /* ends with PARAMETER_NONE */
};
extern const struct method methods[];
extern const size_t method_count;

const struct method *method_named(const char *name);
/* How large a call of it may be, in bytes and in JSON values; NULL: of a method that is not known (yet). */
size_t method_size(const struct method *method);
size_t method_values(const struct method *method);
/* True when the interface part of the name is one of ours. */
bool interface_known(const char *method_name);

/* Reload is main.c's: reads the settings again; a cause when they are bad (the old ones stay). */
void methods_on_reload(int (*reload)(json_t *warnings, struct cause *cause));
int methods_reload(json_t *warnings, struct cause *cause);

/* Handlers, by noun: on_account.c, on_trust.c, on_keys.c, on_queue.c, on_wait.c, on_mail.c, on_inbox.c,
 * on_events.c, on_status.c, service.c. */
void on_list_accounts(struct call *call);
void on_get_account(struct call *call);
void on_add_account(struct call *call);
void on_set_account(struct call *call);
void on_delete_account(struct call *call);
void on_set_password(struct call *call);
void on_poll(struct call *call);
void on_test_account(struct call *call);
void on_list_folders(struct call *call);
void on_probe(struct call *call);

/* ---- on_servers.c ---- */
void on_fetch_autoconfig(struct call *call);

void on_send_heartbeat(struct call *call);

void on_authorize_account(struct call *call);
void on_apply(struct call *call);

void on_get_status(struct call *call);
void on_audit(struct call *call);
void on_get_metrics(struct call *call);
void on_get_history(struct call *call);
void on_describe_properties(struct call *call);
void on_reload(struct call *call);

void on_backup(struct call *call);

void on_monitor(struct call *call);
void on_acknowledge(struct call *call);
void on_list_subscribers(struct call *call);
void on_forget_subscriber(struct call *call);

void on_submit(struct call *call);
void on_list_inbox(struct call *call);
void on_open_inbox_message(struct call *call);
void on_delete_inbox_messages(struct call *call);
void on_mark_inbox_messages(struct call *call);
void on_list_missing(struct call *call);
void on_forget_missing(struct call *call);

void on_list_queue(struct call *call);
void on_get_message(struct call *call);
void on_wait_message(struct call *call);
void on_retry_messages(struct call *call);
void on_hold_messages(struct call *call);
void on_release_messages(struct call *call);
void on_delete_messages(struct call *call);
void on_reroute_messages(struct call *call);
void on_flush_queue(struct call *call);

void on_list_allowed_hosts(struct call *call);
void on_get_allowed_host(struct call *call);
void on_approve(struct call *call);
void on_reject(struct call *call);
void on_unapprove(struct call *call);
void on_delete_allowed_host(struct call *call);
void on_prune(struct call *call);
void on_list_anchors(struct call *call);
void on_get_anchor(struct call *call);
void on_import_anchors(struct call *call);
void on_delete_anchor(struct call *call);
void on_list_server_certificates(struct call *call);
void on_list_keys(struct call *call);
void on_import_key(struct call *call);
void on_delete_key(struct call *call);

/* ---- on_device.c ---- */
void on_list_devices(struct call *call);
void on_add_device(struct call *call);
void on_set_device_password(struct call *call);
void on_delete_device(struct call *call);

void on_get_info(struct call *call);
void on_get_interface_description(struct call *call);
