/* SPDX-License-Identifier: MIT */
/* Scripts for IMAP: a session whose tags are t1, t2, ... whatever was drawn for it. */
#pragma once

#include "daemon/imap/state.h"
#include "mailbox_script.h"

static struct engine *play_new(const struct script *script, struct play *play)
{
        struct imap_config config = {
                .signin = { .user = script->user,
                            .secret = script->secret,
                            .mechanism = "auto",
                            .service = "imap",
                            .host = "mail.example.net" },
                .starttls = script->starttls,
                .user = &play_user,
                .ctx = play,
        };
        return imap_session_new(&config);
}

/* Also in the command that may have been said already. */
static void play_begun(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);
        size_t more = strlen(session->prefix) - 1;

        if (session->in_flight) {
                buf_consume(&engine->out, more);
                engine->out.memory[engine->out.start] = 't';
                session->said -= more;
                session->flights[0].end -= more;
        }
        memcpy(session->prefix, "t", 2);
}
