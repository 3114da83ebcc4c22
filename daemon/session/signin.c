/* SPDX-License-Identifier: MIT */
/* What an account signs in with; see signin.h. What a session keeps of it for the next one is
 * session_talk.c's. */
#include "daemon/session/signin.h"

#include "daemon/accounts/secrets.h"
#include "daemon/loop.h"
#include "daemon/session/token.h"
#include "daemon/store/kept.h"

/* What the last sign-ins have shown of this server; not of another that the account had before. */
static void put_memory(const struct property_values *values, struct signin *signin)
{
        const char *name = prop_text(values, PROP_NAME), *broken = kept_text(name, KEPT_SIGNIN_BROKEN);
        scoped(scoped_free) char *server =
                text_of("%s:%u", prop_text(values, PROP_HOSTNAME), (unsigned)port_in_use(values));
        size_t len = strlen(server);

        if (broken && strncmp(broken, server, len) == 0 && broken[len] == ' ')
                signin->broken = copy_text(broken + len + 1);
        if (same_text(kept_text(name, KEPT_SIGNED_IN_AT), server))
                signin->proven = copy_text(kept_text(name, KEPT_SIGNED_IN_BY));
}

int signin_of(const struct property_values *values, struct signin *out, struct cause *cause)
{
        const char *secret = NULL, *transport = prop_text(values, PROP_TRANSPORT);
        bool wanted = prop_text(values, PROP_ACCOUNT)[0] != '\0';

        *out = (struct signin){ 0 };
        if (wanted && prop_fetches_tokens(values)) {
                secret = token_access(prop_text(values, PROP_NAME));
                if (!secret)
                        return cause_set(cause, CAUSE_SECRET, "there is no OAuth access token yet");
        } else if (wanted && !prop_is(values, WORD_EXTERNAL)) {
                secret = secret_get(prop_text(values, PROP_NAME), "password", cause);
                if (!secret)
                        return -1;
        }
        *out = (struct signin){
                .user = copy_text(prop_text(values, PROP_ACCOUNT)),
                .secret = copy_text(secret),
                .mechanism = copy_text(prop_text(values, PROP_AUTHENTICATION)),
                .allow_plaintext = prop_bool(values, PROP_ALLOW_PLAINTEXT),
                .service = strcmp(transport, "pop3") == 0   ? "pop"
                           : strcmp(transport, "imap") == 0 ? "imap"
                                                            : "smtp",
                .host = copy_text(prop_text(values, PROP_HOSTNAME)),
                .port = port_in_use(values),
        };
        if (wanted)
                put_memory(values, out);
        return 0;
}

static void free_signin(void *ctx)
{
        struct signin *signin = ctx;

        free((char *)(uintptr_t)signin->user);
        free_secret((char *)(uintptr_t)signin->secret);
        free((char *)(uintptr_t)signin->mechanism);
        free((char *)(uintptr_t)signin->host);
        free((char *)(uintptr_t)signin->broken);
        free((char *)(uintptr_t)signin->proven);
        free(signin);
}

void signin_done(struct signin *signin)
{
        if (!signin->user && !signin->secret && !signin->mechanism && !signin->host)
                return;
        struct signin *spent = new_object(struct signin);
        *spent = *signin;
        *signin = (struct signin){ 0 };
        loop_later(
                free_signin,
                spent); /* the session may be in a callback yet, and looks for the secret in what it tells */
}
