/* SPDX-License-Identifier: MIT */
/* The table. Order is that of help: what one does most comes first. */
#include "ctl/cmds.h"
#include "ctl/inbox_filter.h"

#define OPTIONS(...) ((const struct option_rule[]){ __VA_ARGS__, { 0 } })

#define OPTION_REASON                                                                                        \
        {                                                                                                    \
                .name = "reason", .value = "TEXT", .help = "why; kept with the decision"                     \
        }
#define OPTIONS_APPROVAL                                                                                     \
        OPTIONS({ .name = "fingerprint",                                                                     \
                  .value = "SHA256",                                                                         \
                  .help = "the certificate that is meant: 16 digits or more" },                              \
                { .name = "key", .help = "pin the public key: a renewal with the same key passes" },         \
                { .name = "for", .value = "DURATION", .help = "only so long: 12h, 30d" },                    \
                { .name = "until", .value = "DATE", .help = "only until then: 2027-01-31" }, OPTION_REASON)

const struct command commands[] = {
        { "status", "[NAME...]", "what is wrong and what to do next",
          OPTIONS({ .name = "problems", .help = "only what is not well" },
                  { .name = "check", .help = "one line for monitoring; exits 0, 1, 2 or 3" },
                  { .name = "watch", .help = "stay, and show each change; q or Ctrl-C ends it" }),
          run_status, 0 },

        { "account list", "", "one line each", NULL, run_account_list, 0 },
        { "account show", "NAME", "the property sheet, with warnings", NULL, run_account_show, 0 },
        { "account add", "outgoing|incoming NAME PROP=VALUE...", "make an account", NULL, run_account_add,
          0 },
        { "account set", "NAME PROP=VALUE...", "change properties: all or none", NULL, run_account_set, 0 },
        { "account delete", "NAME", "delete an account",
          OPTIONS({ .name = "force", .help = "also with unsent mail, which is then failed and deleted" }),
          run_account_delete, 0 },
        { "account secure", "NAME ssl|starttls|none", "choose TLS and the port together",
          OPTIONS({ .name = "port", .value = "N|auto", .help = "another port than the usual one" }),
          run_account_secure, 0 },
        { "account password", "NAME", "set the password: asked for, or one line",
          OPTIONS({ .name = "credential", .value = "ID", .help = "use this systemd credential" },
                  { .name = "clear", .help = "forget the password" },
                  { .name = "secret",
                    .value = "password|oauthClientSecret|oauthRefreshToken",
                    .help = "which secret" }),
          run_account_password, 0 },
        { "account enable", "NAME...", "start using it", NULL, run_account_enable, 0 },
        { "account disable", "NAME...", "stop using it", NULL, run_account_disable, 0 },
        { "account poll", "NAME...", "fetch, or send what waits, now",
          OPTIONS({ .name = "no-wait", .help = "do not stay until that is done" }), run_account_poll, 0 },
        { "account authorize", "NAME", "sign in by OAuth: a code to type in", NULL,
          run_account_authorize, 0 },
        { "account heartbeat", "NAME", "send one now, wait for its round trip", NULL,
          run_account_heartbeat, 0 },
        { "account test", "NAME...", "try each step of a session; changes nothing", NULL, run_account_test, 0 },
        { "account folders", "NAME", "the folders that an IMAP mailbox has", NULL, run_account_folders, 0 },
        { "account export", "[NAME...]", "accounts as JSON, without secrets", NULL, run_account_export, 0 },
        { "account apply", "FILE|-", "make the station match exported accounts",
          OPTIONS({ .name = "dry-run", .help = "only show what would change" }), run_account_apply, 0 },

        { "setup", "ADDRESS", "find its servers, add both accounts",
          OPTIONS({ .name = "yes", .help = "ask nothing" },
                  { .name = "name", .value = "NAME", .help = "what the accounts are called: NAME-out, NAME-in" },
                  { .name = "only", .value = "outgoing|incoming", .help = "this account only" },
                  { .name = "user", .value = "USER", .help = "the name to sign in by, where it is not the address" },
                  { .name = "password-file", .value = "FILE", .help = "the password is its first line; else asked for, or read" },
                  { .name = "client-id", .value = "ID", .help = "of the application at an OAuth provider" }),
          run_setup, 0 },
        { "probe", "HOST[:PORT]", "look at a server, or those of an ADDRESS",
          OPTIONS({ .name = "transport", .value = "smtp|imap|pop3", .help = "what to speak" },
                  { .name = "security", .value = "ssl|starttls|none", .help = "how to secure it" }),
          run_probe, 0 },
        { "audit", "", "a verdict on each account",
          OPTIONS({ .name = "problems", .help = "only warnings and alerts" }), run_audit, 0 },

        { "challenge list", "", "certificates that wait for a decision", NULL, run_challenge_list, 0 },
        { "challenge show", "ID", "what to compare before deciding", NULL, run_challenge_show, 0 },
        { "challenge accept", "ID", "approve that certificate, by its fingerprint", OPTIONS_APPROVAL,
          run_challenge_accept, 0 },
        { "challenge reject", "ID...", "say no to that certificate", OPTIONS(OPTION_REASON),
          run_challenge_reject, 0 },

        { "allowed list", "", "the Allowed Hosts",
          OPTIONS({ .name = "state", .value = "pending|approved|rejected", .help = "only these" }),
          run_allowed_list, 0 },
        { "allowed show", "ID", "one entry in full", NULL, run_allowed_show, 0 },
        { "allowed approve", "ID", "approve an entry, by its fingerprint", OPTIONS_APPROVAL,
          run_allowed_approve, 0 },
        { "allowed unapprove", "ID...", "take an approval back", NULL, run_allowed_unapprove, 0 },
        { "allowed delete", "ID...", "forget an entry", NULL, run_allowed_delete, 0 },
        { "allowed prune", "", "delete entries that are needless", NULL, run_allowed_prune, 0 },

        { "trust list", "", "the User Trust Store",
          OPTIONS({ .name = "system", .help = "the System Trust Store instead" }), run_trust_list, 0 },
        { "trust show", "FINGERPRINT", "one trusted certificate in full", NULL, run_trust_show, 0 },
        { "trust import", "[FILE|-...]", "trust issuers: PEM, DER or PKCS#7",
          OPTIONS({ .name = "from-server", .value = "HOST[:PORT]", .help = "the issuer that this server shows" },
                  { .name = "transport", .value = "smtp|imap|pop3", .help = "what to speak there" },
                  { .name = "security", .value = "ssl|starttls", .help = "how TLS begins there" },
                  { .name = "fingerprint", .value = "SHA256", .help = "the issuer that is meant: 16 digits or more" }),
          run_trust_import, 0 },
        { "trust delete", "FINGERPRINT", "no longer trust an issuer", NULL, run_trust_delete, 0 },
        { "trust servers", "", "certificates that servers showed, and their end", NULL, run_trust_servers, 0 },
        { "trust key", "list|import|delete [NAME] [FILE|-]", "client certificates, PEM or PKCS#12", NULL, run_trust_key,
          0 },

        { "device list", "", "who may submit by SMTP with a password", NULL, run_device_list, 0 },
        { "device add", "DEVICE", "let one sign in at the submission listener",
          OPTIONS({ .name = "account", .value = "NAME", .help = "the account that its mail goes out by" },
                  { .name = "from", .value = "ADDRESS", .help = "the only sender that it may name" }),
          run_device_add, 0 },
        { "device password", "DEVICE", "give it a password", NULL, run_device_password, 0 },
        { "device delete", "DEVICE", "no longer let it sign in", NULL, run_device_delete, 0 },

        { "send", "[FILE|-]", "send a message, or a text made into one",
          OPTIONS({ .name = "account", .value = "NAME", .help = "by which account; else the default one" },
                  { .name = "from", .value = "ADDRESS", .help = "sender" },
                  { .name = "to", .value = "ADDRESS", .help = "recipient; may be repeated" },
                  { .name = "cc", .value = "ADDRESS", .help = "recipient of a copy" },
                  { .name = "bcc", .value = "ADDRESS", .help = "recipient that others do not see" },
                  { .name = "subject",
                    .letter = 's',
                    .value = "TEXT",
                    .help = "subject: the input is a text" },
                  { .name = "attach", .value = "FILE", .help = "attach a file; may be repeated" },
                  { .name = "header", .value = "'NAME: TEXT'", .help = "one more header field" },
                  { .name = "priority",
                    .value = "urgent|normal",
                    .help = "urgent goes ahead of the rest" },
                  { .name = "key", .value = "KEY", .help = "the same key again is the same message" },
                  { .name = "notify",
                    .value = "never|success,failure,delay",
                    .help = "when servers are to report about it" },
                  { .name = "return", .value = "full|hdrs", .help = "how much of it a report brings back" },
                  { .name = "envelope-id", .value = "ID", .help = "what a report is to call it" },
                  { .name = "hold", .help = "queue it, send it when released" },
                  { .name = "wait", .help = "stay until it is sent or failed" }),
          run_send, 0 },
        { "sendmail", "...", "the form of sendmail(8), for other programs", NULL, run_sendmail, COMMAND_RAW },

        { "queue list", "[NAME]", "messages that are not sent yet",
          OPTIONS({ .name = "account", .value = "NAME", .help = "only of this account" },
                  { .name = "state",
                    .value = "queued|sending|deferred|held|ambiguous|sent|failed",
                    .help = "only these; may be repeated" },
                  { .name = "watch", .help = "stay, and show each change; q or Ctrl-C ends it" }),
          run_queue_list, 0 },
        { "queue show", "ID", "a message, its recipients and attempts", NULL, run_queue_show, 0 },
        { "queue retry", "ID...", "try now", NULL, run_queue_retry, 0 },
        { "queue hold", "ID...", "keep back", NULL, run_queue_hold, 0 },
        { "queue release", "ID...", "let held messages go", NULL, run_queue_release, 0 },
        { "queue delete", "ID...", "delete messages", NULL, run_queue_delete, 0 },
        { "queue reroute", "ID...", "give messages to another account",
          OPTIONS({ .name = "account", .value = "NAME", .help = "the account that sends them from now on" }),
          run_queue_reroute, 0 },
        { "queue flush", "NAME", "try everything of an account now", NULL, run_queue_flush, 0 },

        { "inbox list", "NAME", "received mail of an account",
          OPTIONS({ .name = "limit", .value = "N", .help = "the newest N; 10000 where nothing is said" },
                  { .name = "all", .help = "every message" }, OPTIONS_INBOX_FILTER),
          run_inbox_list, 0 },
        { "inbox show", "NAME ID", "a received message, decoded",
          OPTIONS({ .name = "raw", .help = "its bytes as they are" }), run_inbox_show, 0 },
        { "inbox save-attachments", "NAME ID", "what is attached to a message, into files",
          OPTIONS({ .name = "to", .value = "DIR", .help = "into this folder instead of the present one" }),
          run_inbox_save_attachments, 0 },
        { "inbox mark", "NAME seen|unseen [ID...]", "mark messages as seen, or not", OPTIONS(OPTIONS_INBOX_FILTER),
          run_inbox_mark, 0 },
        { "inbox delete", "NAME [ID...]", "delete received mail here, not at the server",
          OPTIONS({ .name = "older-than", .value = "DURATION", .help = "all that were received before: 30d, 12h" },
                  OPTIONS_INBOX_FILTER),
          run_inbox_delete, 0 },
        { "inbox missing", "NAME", "messages that the server does not hand out",
          OPTIONS({ .name = "forget", .value = "ID", .help = "ask for this one no more; \"all\": for none of them" }),
          run_inbox_missing, 0 },

        { "monitor", "", "events as they happen",
          OPTIONS({ .name = "event",
                    .value = "EVENT",
                    .help = "only these, or beginnings: mail.; may be repeated" },
                  { .name = "account", .value = "NAME", .help = "only of this account; may be repeated" },
                  { .name = "since", .value = "CURSOR", .help = "begin after this event" },
                  { .name = "name",
                    .value = "SUBSCRIBER",
                    .help = "received mail, also what came meanwhile; acknowledged once shown" },
                  { .name = "exec",
                    .value = "COMMAND",
                    .help = "with --name: run it for each message; acknowledged when it exits 0" }),
          run_monitor, 0 },
        { "subscriber list", "", "named subscribers of received mail", NULL, run_subscriber_list, 0 },
        { "subscriber forget", "SUBSCRIBER", "keep no more events for one", NULL, run_subscriber_forget, 0 },
        { "log", "[NAME]", "the journal, whole or of an account",
          OPTIONS({ .name = "follow", .letter = 'f', .help = "and what comes" },
                  { .name = "lines", .letter = 'n', .value = "COUNT", .help = "only so many of the newest" },
                  { .name = "audit", .help = "who changed what, only" }),
          run_log, 0 },
        { "metrics", "", "OpenMetrics text",
          OPTIONS({ .name = "prometheus", .help = "the older text format of Prometheus instead, for node_exporter" }),
          run_metrics, 0 },
        { "backup", "FILE|-", "an archive of the running station",
          OPTIONS({ .name = "secrets", .help = "with passwords and client keys" },
                  { .name = "no-mail", .help = "without received mail" }),
          run_backup, 0 },
        { "restore", "FILE|-", "put an archive back, with the station stopped",
          OPTIONS({ .name = "force", .help = "also in place of a station that is there: its files are set aside" },
                  { .name = "state-directory", .value = "DIR", .help = "another state folder than that of the settings" },
                  { .name = "config", .value = "FILE", .help = "other settings than emailsecd.conf" }),
          run_restore, 0 },
        { "help", "[COMMAND...]", "help on a command or a group of them", NULL, run_help, 0 },
        { "reload", "", "read settings and system trust again", NULL, run_reload, 0 },
        { "complete", "...", "completions for a shell", NULL, run_complete, COMMAND_RAW | COMMAND_HIDDEN },
};
const size_t command_count = count_of(commands);

const struct command *command_named(const char *words)
{
        for (size_t i = 0; i < command_count; i++)
                if (same_text(commands[i].words, words))
                        return &commands[i];
        return NULL;
}

bool command_is_group(const char *word)
{
        size_t len = strlen(word);
        for (size_t i = 0; i < command_count; i++)
                if (!strncmp(commands[i].words, word, len) && commands[i].words[len] == ' ')
                        return true;
        return false;
}
