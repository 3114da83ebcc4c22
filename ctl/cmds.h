/* SPDX-License-Identifier: MIT */
/* What the table of commands runs: one function a command, by noun in cmd_*.c, sendmail.c and complete.c. */
#pragma once

#include "ctl/commands.h"

/* cmd_status.c */
command_run run_status, run_metrics, run_activity, run_reload;
/* cmd_account.c */
command_run run_account_list, run_account_show, run_account_add, run_account_set, run_account_delete;
command_run run_account_secure, run_account_password, run_account_enable, run_account_disable,
        run_account_poll;
/* apply.c */
command_run run_account_export, run_account_apply;
/* cmd_test.c */
command_run run_account_test, run_account_folders, run_account_authorize, run_account_heartbeat, run_probe,
        run_audit;
/* What Probe is asked about HOST[:PORT], with the options --transport and --security. NULL with a cause. */
json_t *parameters_of_probe(const struct tool *tool, const char *server, struct cause *cause) must_use;
/* cmd_setup.c */
command_run run_setup, run_probe_address;
/* cmd_challenge.c */
command_run run_challenge_list, run_challenge_show, run_challenge_accept, run_challenge_reject;
command_run run_allowed_list, run_allowed_show, run_allowed_approve, run_allowed_unapprove,
        run_allowed_delete;
command_run run_allowed_prune;
/* cmd_trust.c */
command_run run_trust_servers, run_trust_list, run_trust_show, run_trust_import, run_trust_delete;
/* cmd_key.c */
command_run run_trust_key;
/* cmd_device.c */
command_run run_device_add, run_device_delete, run_device_list, run_device_password;
/* cmd_send.c, sendmail.c */
command_run run_send, run_sendmail;
/* cmd_queue.c */
command_run run_queue_list, run_queue_show, run_queue_retry, run_queue_hold, run_queue_release,
        run_queue_delete, run_queue_reroute;
command_run run_queue_flush;
/* cmd_inbox.c */
command_run run_inbox_delete, run_inbox_list, run_inbox_mark, run_inbox_missing, run_inbox_save_attachments,
        run_inbox_show;
/* cmd_watch.c */
command_run run_monitor, run_log, run_subscriber_list, run_subscriber_forget;
/* cmd_backup.c */
command_run run_backup, run_restore;
/* help.c */
command_run run_help, run_property_list;
/* complete.c */
command_run run_complete;
