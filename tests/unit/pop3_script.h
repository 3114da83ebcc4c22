/* SPDX-License-Identifier: MIT */
/* Scripts for POP3. */
#pragma once

#include "daemon/pop3/state.h"
#include "mailbox_script.h"

static struct engine *play_new(const struct script *script, struct play *play)
{
        struct pop3_config config = {
                .signin = { .user = script->user,
                            .secret = script->secret,
                            .mechanism = "auto",
                            .service = "pop",
                            .host = "mail.example.net" },
                .starttls = script->starttls,
                .user = &play_user,
                .ctx = play,
        };
        return pop3_session_new(&config);
}

static void play_begun(struct engine *engine unused_arg)
{
}
