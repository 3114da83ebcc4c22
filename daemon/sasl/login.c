/* SPDX-License-Identifier: MIT */
/*
 * LOGIN, which no RFC has: the server asks twice, and what it asks for is the user's name and then the
 * password, whatever the prompts say. They are in base64, or not, empty, or in any language: nobody looks at
 * them.
 */
#include "common/limits.h"
#include "daemon/sasl/exchange.h"

struct login {
        char *user, *secret;
        unsigned asked;
};

static void login_end(struct sasl *sasl)
{
        struct login *login = sasl->session;

        if (!login)
                return;
        free(login->user);
        free_secret(login->secret);
        free(login);
        sasl->session = NULL;
}

static int login_begin(struct sasl *sasl, const struct signin *signin,
                       const struct engine_channel *channel unused_arg, struct cause *cause unused_arg)
{
        struct login *login = new_object(struct login);

        login->user = copy_text(signin->user);
        login->secret = copy_text(signin->secret);
        sasl->session = login;
        return 0;
}

static int login_step(struct sasl *sasl, const uint8_t *challenge unused_arg, size_t len unused_arg,
                      struct buf *out, struct cause *cause)
{
        struct login *login = sasl->session;

        if (login->asked == 2)
                return cause_set(cause, CAUSE_PROTOCOL,
                                 "the server asks for more than name and password in LOGIN");
        if (buf_append_text(out, login->asked == 0 ? login->user : login->secret))
                return cause_set(cause, CAUSE_SECRET, "the stored password is too long to send");
        sasl->through = ++login->asked == 2;
        return 0;
}

const struct sasl_class sasl_login = { login_begin, login_step, login_end, NULL, NULL };
