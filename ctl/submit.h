/* SPDX-License-Identifier: MIT */
/* A message handed to the daemon: read whole, encoded where SMTP could not carry it, passed as a descriptor.
 */
#pragma once

#include "common/buf.h"
#include "ctl/encode.h"
#include "ctl/mime.h"
#include "ctl/tool.h"

/* Most bytes read from a file or pipe; the daemon's own limit is asked of it, this one is about our memory.
 */
#define LIMIT_DRAFT ((size_t)1 << 30)

struct tool_submission {
        const char *account;        /* NULL = the default one */
        const char *from;           /* envelope sender; NULL = the account's, "" = the null sender */
        const char *key, *priority; /* NULL = none */
        const char *notify, *ret,
                *envelope_id; /* about delivery reports (common/dsn.h); NULL = nothing asked */
        json_t *notify_each;  /* the same, for each recipient ("": nothing); owned; NULL = `notify` for all */
        json_t *originals; /* to whom it went at first, for each recipient ("": not told); owned; NULL = none
                            */
        bool whole;        /* to all recipients, or not at all */
        enum encode_body body;
        bool hold;
        bool watched;        /* show a person at the terminal how far a long handing over is */
        const char *program; /* the name in what is told of recipients that are left out; NULL: emailsecctl */
        char *author; /* the address in its From where `from` is NULL; owned, set when it is handed over */
        json_t *recipients; /* texts; owned */
        struct buf draft;   /* the message, while it is worked on */
        int made;           /* where it lies once it is ready; -1: not yet */
};
void submission_init(struct tool_submission *submission);
void submission_done(struct tool_submission *submission);

/* Makes what a program handed in into a whole message (ctl/draft.h). */
int submission_complete(struct tool_submission *submission, struct cause *cause) must_use;
/* Makes a message from a draft; it goes to `made` at once, never into memory as a whole. */
int submission_compose(struct tool_submission *submission, struct mime_draft *draft, struct cause *cause)
        must_use;
/* Encodes what needs it; refuses what cannot be helped (ctl/encode.h). */
int submission_encode(struct tool_submission *submission, struct cause *cause) must_use;
/* Whether notify, ret and envelope_id are in order; `names` are what the caller calls these three. */
int submission_check_reports(const struct tool_submission *submission, const char *const names[3],
                             struct cause *cause) must_use;
/* Tells of a recipient to whom it cannot go, at the terminal and in the mail log. */
void submission_tell_left_out(const char *program, const char *words);
/* Hands it over. 0 with the daemon's answer (`out` may be NULL), -1 with failures. Takes the recipients; of
 * those that the daemon left out it tells. */
int submission_send(struct tool *tool, struct tool_submission *submission, json_t **out,
                    struct causes *failures) must_use;
