/* SPDX-License-Identifier: MIT */
/* The world: what is in it. */
#include "tests/simulator/world.h"

#include <string.h>

static void started(struct caller *caller, const char *json, size_t len)
{
        history("root", "hears %.*s", (int)(len < 300 ? len : 300), json);
        caller_close(caller);
}

static void ended(struct caller *caller)
{
        (void)caller;
        history("root", "is cut off");
}

static void ask(void *ctx)
{
        static const struct caller_ops ops = { .heard = started, .ended = ended };
        static const char words[] = "{\"method\":\"io.emailsec.EmailService.GetStatus\",\"parameters\":{}}";
        struct caller *caller = caller_open(0, &ops, NULL);

        (void)ctx;
        if (caller)
                caller_send(caller, words, sizeof words - 1, NULL, 0);
        (void)world_in(HOUR_MS, ask, NULL);
}

void world_build(void)
{
        static const char config[] = "[Service]\nHostname=station.example\nLogTarget=stderr\nLogLevel=info\n";

        disk_put(SIM_CONFIG, config, sizeof config - 1);
        disk_put(SIM_SYSTEM_TRUST, "", 0);
        (void)world_in(MINUTE_MS, ask, NULL);
}

void world_turn_honest(void)
{
}

bool world_settled(void)
{
        return true;
}
