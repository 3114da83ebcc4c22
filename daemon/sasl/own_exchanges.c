/* SPDX-License-Identifier: MIT */
/* Exchanges that are done here: LOGIN, OAUTHBEARER and XOAUTH2. Those of GNU SASL are in gsasl.c. */
#include "common/limits.h"
#include "daemon/sasl/exchange.h"
#include "daemon/sasl/grant.h"

/* ---- LOGIN ---- */

/* Which no RFC has: the server asks twice, and what it asks for is the user's name and then the password,
 * whatever the prompts say. They are in base64, or not, empty, or in any language: nobody looks at them. */
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

/* ---- OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's and Microsoft's older form) ---- */

/* One message with the access token; when the server refuses it, a challenge in JSON says why and wants an
 * empty answer of a fixed form before the refusal itself comes. */
struct oauth {
        char *first;           /* the one message, secret */
        const char *dismissal; /* what answers the server's JSON */
        bool said;
};

static void oauth_end(struct sasl *sasl)
{
        struct oauth *oauth = sasl->session;

        if (!oauth)
                return;
        free_secret(oauth->first);
        free(oauth);
        sasl->session = NULL;
}

/* Fields are parted by ^A: no value may hold one. */
static int check_values(const struct signin *signin, struct cause *cause)
{
        for (const char *c = signin->user; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        return cause_about(cause, CAUSE_INVALID, "account",
                                           "the account name holds a control character");
        if (!grant_is_token(signin->secret))
                return cause_set(
                        cause, CAUSE_SECRET,
                        "the stored access token is not one: it holds a character that no token has");
        return 0;
}

static void oauth_take(struct sasl *sasl, char *first, const char *dismissal)
{
        struct oauth *oauth = new_object(struct oauth);

        oauth->first = first;
        oauth->dismissal = dismissal;
        sasl->session = oauth;
}

/* RFC 5801 section 4 saslname: "," and "=" are escaped. */
static char *saslname(const char *name)
{
        struct buf escaped = BUF_WITH_MAX(3 * LIMIT_PROPERTY_TEXT);

        for (; *name; name++) {
                const char *as = *name == ',' ? "=2C" : *name == '=' ? "=3D" : NULL;
                if (as ? buf_append_text(&escaped, as) : buf_append(&escaped, name, 1))
                        break;
        }
        return buf_take_text(&escaped);
}

static int bearer_begin(struct sasl *sasl, const struct signin *signin,
                        const struct engine_channel *channel unused_arg, struct cause *cause)
{
        if (check_values(signin, cause))
                return -1;
        char *user = saslname(signin->user);
        oauth_take(sasl,
                   text_of("n,a=%s,\001host=%s\001port=%u\001auth=Bearer %s\001\001", user, signin->host,
                           (unsigned)signin->port, signin->secret),
                   "\001");
        free(user);
        return 0;
}

static int xoauth2_begin(struct sasl *sasl, const struct signin *signin,
                         const struct engine_channel *channel unused_arg, struct cause *cause)
{
        if (check_values(signin, cause))
                return -1;
        oauth_take(sasl, text_of("user=%s\001auth=Bearer %s\001\001", signin->user, signin->secret), "");
        return 0;
}

static int oauth_step(struct sasl *sasl, const uint8_t *challenge unused_arg, size_t len unused_arg,
                      struct buf *out, struct cause *cause)
{
        struct oauth *oauth = sasl->session;
        const char *answer = oauth->said ? oauth->dismissal : oauth->first;

        oauth->said = true;
        sasl->through = true;
        if (buf_append_text(out, answer))
                return cause_set(cause, CAUSE_SECRET, "the stored access token is too long");
        return 0;
}

const struct sasl_class sasl_oauthbearer = { bearer_begin, oauth_step, oauth_end, NULL, NULL };
const struct sasl_class sasl_xoauth2 = { xoauth2_begin, oauth_step, oauth_end, NULL, NULL };
