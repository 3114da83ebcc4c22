/* SPDX-License-Identifier: MIT */
/*
 * The table of mechanisms, strongest first; the choice among them; and base64, rounds and
 * bounds around an exchange. The exchanges themselves are in gsasl.c and own_exchanges.c.
 *
 * What must hold whatever a server offers: a mechanism that shows the password goes inside TLS alone, unless
 * allowPlaintextAuthentication says otherwise; an offer that has become weaker than what this server proved
 * before does not get it shown; a mechanism that is chosen by hand is the only one that is used.
 */
#include "daemon/sasl/mechanism.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/sasl/exchange.h"
#include "daemon/sasl/repeat.h"

#include <strings.h>

#define SCRAM_FLAGS (SASL_AUTOMATIC | SASL_CLIENT_FIRST | SASL_PROVES_SERVER | SASL_SCRAM)

const struct sasl_mechanism sasl_mechanisms[SASL_MECHANISMS] = {
        { "SCRAM-SHA-256-PLUS", "scram-sha-256-plus", &sasl_by_library, SCRAM_FLAGS | SASL_BINDS },
        { "SCRAM-SHA-1-PLUS", "scram-sha-1-plus", &sasl_by_library, SCRAM_FLAGS | SASL_BINDS },
        { "SCRAM-SHA-256", "scram-sha-256", &sasl_by_library, SCRAM_FLAGS },
        { "SCRAM-SHA-1", "scram-sha-1", &sasl_by_library, SCRAM_FLAGS },
        { "CRAM-MD5", "cram-md5", &sasl_by_library, SASL_AUTOMATIC },
        { "PLAIN", "plain", &sasl_by_library, SASL_AUTOMATIC | SASL_PLAINTEXT | SASL_CLIENT_FIRST },
        { "LOGIN", "login", &sasl_login, SASL_AUTOMATIC | SASL_PLAINTEXT | SASL_PROMPTS },
        { "OAUTHBEARER", "oauthbearer", &sasl_oauthbearer, SASL_PLAINTEXT | SASL_CLIENT_FIRST },
        { "XOAUTH2", "xoauth2", &sasl_xoauth2, SASL_PLAINTEXT | SASL_CLIENT_FIRST },
        { "EXTERNAL", "external", &sasl_by_library, SASL_CLIENT_FIRST | SASL_SECRETLESS },
};

/* Names are compared without case (RFC 4422, 3.1), words as wholes: LOGIN is not in LOGINX. */
bool sasl_offers(const char *offered, const char *name)
{
        size_t len = strlen(name);

        while (*offered) {
                size_t word = strcspn(offered, " ");
                if (word == len && strncasecmp(offered, name, len) == 0)
                        return true;
                offered += word + strspn(offered + word, " ");
        }
        return false;
}

static bool may_send_secret(const struct signin *signin, const struct engine_channel *channel)
{
        return channel->tls || signin->allow_plaintext;
}

/* For the trace and for what servers say back: the secret as such, in base64, or in PLAIN's message. */
bool signin_repeated(const struct signin *signin, const char *words, size_t len)
{
        const char *secret = signin->secret;

        if (!secret || !secret[0])
                return false;
        if (secret_repeated(words, len, secret))
                return true;
        /* so short a secret is looked for in PLAIN's whole message: a few digits alone would be found in any
         * words */
        size_t user = signin->user ? strlen(signin->user) : 0, size = user + strlen(secret) + 2;
        char *plain = new_zeroed(1, size + 1);
        memcpy(plain + 1, signin->user ? signin->user : "", user);
        memcpy(plain + user + 2, secret, strlen(secret));
        char *text = base64_encode(plain, size);
        bool found = memmem(words, len, text, strlen(text)) != NULL;
        free_secret(text);
        explicit_bzero(plain, size);
        free(plain);
        return found;
}

static int need_secret(const struct signin *signin, struct cause *cause)
{
        if (signin->secret && signin->secret[0])
                return 0;
        return cause_set(cause, CAUSE_SECRET, "no password is stored for %s", signin->user);
}

char *sasl_other_words(const struct engine_channel *channel, const char *offered, const char *mechanism)
{
        struct buf words = BUF_WITH_MAX(LIMIT_PROPERTY_TEXT);

        for (size_t i = 0; i < SASL_MECHANISMS; i++) {
                const struct sasl_mechanism *m = &sasl_mechanisms[i];
                bool fits = sasl_offers(offered, m->name) && !same_text(m->name, mechanism) &&
                            (!(m->flags & SASL_PLAINTEXT) || channel->tls) &&
                            (!(m->flags & SASL_BINDS) || channel->binding.present);
                if (fits && buf_appendf(&words, "%s%s", words.len ? "|" : "", m->word))
                        break;
        }
        return buf_take_text(&words);
}

/* Offered, and supported by nobody who cares for the password. */
static const struct {
        const char *name, *why;
} historic[] = {
        { "DIGEST-MD5", "RFC 6331 has made that historic, for good reasons" },
        { "NTLM", "that is Microsoft's own and broken" },
        { "APOP", "that rests on MD5, by which the password can be found" },
};

static const char *why_not(const char *offered)
{
        for (size_t i = 0; i < count_of(historic); i++)
                if (strcasecmp(offered, historic[i].name) == 0)
                        return historic[i].why;
        for (size_t i = 0; i < count_of(historic); i++)
                if (sasl_offers(offered, historic[i].name))
                        return i == 0 ? "DIGEST-MD5 among them is historic (RFC 6331)"
                                      : "none of which is supported";
        return "none of which is supported";
}

static const char *no_mechanism(const struct signin *signin, const struct engine_channel *channel,
                                const char *offered, struct cause *cause)
{
        scoped(scoped_free) char *others = sasl_other_words(channel, offered, "");

        if (offered[0] && others[0])
                cause_set(cause, CAUSE_NO_MECHANISM, "the server offers %s to sign in, not %s", offered,
                          sasl_is_automatic(signin) ? "any that is chosen by itself" : signin->mechanism);
        else if (offered[0])
                cause_set(cause, CAUSE_NO_MECHANISM, "the server offers only %s to sign in, and %s", offered,
                          why_not(offered));
        else
                cause_set(cause, CAUSE_NO_MECHANISM, "the server offers no way to sign in");
        if (!channel->tls)
                cause_remedy(cause, "many servers offer it only inside TLS: emailsecctl account secure NAME "
                                    "ssl|starttls");
        else if (others[0])
                cause_remedy(cause, "emailsecctl account set NAME authentication=%s", others);
        else if (offered[0])
                cause_remedy(cause, "have the server's operator offer SCRAM-SHA-256, or PLAIN within TLS");
        else
                cause_remedy(cause, "empty the property account if this server wants no sign-in, or use its "
                                    "submission port");
        return NULL;
}

static const char *not_in_clear(const char *name, struct cause *cause)
{
        cause_set(cause, CAUSE_PLAINTEXT_LOGIN,
                  "%s would send the password readable to everyone on the way, and there is no TLS", name);
        cause_remedy(cause, "secure the account: emailsecctl account secure NAME ssl|starttls; only where "
                            "that cannot be, set allowPlaintextAuthentication");
        return NULL;
}

static bool has_shown_password(const struct sasl_ways *ways)
{
        for (unsigned i = 0; i < SASL_MECHANISMS; i++)
                if ((ways->tried & 1u << i) && (sasl_mechanisms[i].flags & SASL_PLAINTEXT))
                        return true;
        return false;
}

/* After a first try: what shows the password goes inside TLS only, and never to a server that has proven by
 * SCRAM that it needs no password shown. Where the first try has shown it already, nothing is weaker. */
static bool may_go_weaker(const struct signin *signin, const struct engine_channel *channel,
                          const struct sasl_ways *ways)
{
        bool scram_before = signin->proven && strncmp(signin->proven, "SCRAM-", 6) == 0;

        return !ways || !ways->tried || has_shown_password(ways) ||
               (channel->tls && !(scram_before && sasl_is_automatic(signin)));
}

static bool is_wanted(const struct sasl_mechanism *mechanism, const struct signin *signin)
{
        return sasl_is_automatic(signin) ? mechanism->flags & SASL_AUTOMATIC
                                         : same_text(mechanism->word, signin->mechanism);
}

/* False for one that this server cannot do, or that cannot carry this password. */
static bool is_hopeful(const struct sasl_mechanism *mechanism, const struct signin *signin)
{
        if (signin->broken && sasl_offers(signin->broken, mechanism->name))
                return false;
        return !(mechanism->flags & SASL_SCRAM) || sasl_prepares(signin);
}

/* The best that is offered; *barred names one that may not be used here. `any`: also those of little hope. */
static const struct sasl_mechanism *best_of(const struct signin *signin, const struct engine_channel *channel,
                                            const char *offered, const struct sasl_ways *ways, bool any,
                                            const char **barred)
{
        bool automatic = sasl_is_automatic(signin);
        unsigned tried = ways ? ways->tried : 0;

        for (size_t i = 0; i < SASL_MECHANISMS; i++) {
                const struct sasl_mechanism *m = &sasl_mechanisms[i];
                bool hopeful = any || !automatic || is_hopeful(m, signin);
                if (!is_wanted(m, signin) || !hopeful || !sasl_offers(offered, m->name) || (tried & 1u << i))
                        continue;
                if ((m->flags & SASL_BINDS) && !channel->binding.present)
                        continue;
                if ((m->flags & SASL_PLAINTEXT) && !may_go_weaker(signin, channel, ways))
                        continue;
                if (!(m->flags & SASL_PLAINTEXT) || may_send_secret(signin, channel))
                        return m;
                *barred = *barred ? *barred : m->name;
        }
        return NULL;
}

/* Twice: first those that may work, then also those that failed before or cannot carry this password, whose
 * failure then has words of its own. */
const char *sasl_choose(const struct signin *signin, const struct engine_channel *channel,
                        const char *offered, const struct sasl_ways *ways, struct cause *cause)
{
        const char *barred = NULL;
        const struct sasl_mechanism *m = best_of(signin, channel, offered, ways, false, &barred);

        if (!m)
                m = best_of(signin, channel, offered, ways, true, &barred);
        if (m)
                return (m->flags & SASL_SECRETLESS) || need_secret(signin, cause) == 0 ? m->name : NULL;
        return barred ? not_in_clear(barred, cause) : no_mechanism(signin, channel, offered, cause);
}

int sasl_may_login_plainly(const struct signin *signin, const struct engine_channel *channel,
                           const struct sasl_ways *ways, struct cause *cause)
{
        if ((!sasl_is_automatic(signin) && !same_text(signin->mechanism, "plain") &&
             !same_text(signin->mechanism, "login")) ||
            !may_go_weaker(signin, channel, ways))
                return cause_set(cause, CAUSE_NO_MECHANISM, "the server does not offer %s to sign in",
                                 sasl_is_automatic(signin) ? "another way" : signin->mechanism);
        if (!may_send_secret(signin, channel)) {
                (void)not_in_clear("the login command", cause);
                return -1;
        }
        return need_secret(signin, cause);
}

struct sasl *sasl_new(const struct signin *signin, const struct engine_channel *channel,
                      const char *mechanism, struct cause *cause)
{
        const struct sasl_mechanism *row = NULL;

        for (size_t i = 0; i < SASL_MECHANISMS && !row; i++)
                if (same_text(sasl_mechanisms[i].name, mechanism))
                        row = &sasl_mechanisms[i];
        if (!row) {
                cause_set(cause, CAUSE_NO_MECHANISM, "%s is not supported", mechanism);
                return NULL;
        }
        /* The gate of rule 20 once more: choosing and beginning may be far apart. */
        if ((row->flags & SASL_PLAINTEXT) && !may_send_secret(signin, channel)) {
                (void)not_in_clear(row->name, cause);
                return NULL;
        }
        if (!(row->flags & SASL_SECRETLESS) && need_secret(signin, cause))
                return NULL;
        struct sasl *sasl = new_object(struct sasl);
        sasl->mechanism = row;
        if (row->class->begin(sasl, signin, channel, cause)) {
                sasl_free(sasl);
                return NULL;
        }
        return sasl;
}

/* One step from raw bytes to base64. */
static char *answer_of(struct sasl *sasl, const uint8_t *challenge, size_t len, struct cause *cause)
{
        struct buf answer = BUF_WITH_MAX(SASL_MAX_ANSWER);
        char *text = NULL;

        if (sasl->mechanism->class->step(sasl, challenge, len, &answer, cause) == 0)
                text = base64_encode(answer.len ? (const void *)buf_bytes(&answer) : "", answer.len);
        sasl->answers += text != NULL;
        buf_wipe(&answer);
        return text;
}

char *sasl_first(struct sasl *sasl, struct cause *cause)
{
        cause_clear(cause);
        if (!(sasl->mechanism->flags & SASL_CLIENT_FIRST))
                return NULL;
        char *text = answer_of(sasl, (const uint8_t *)"", 0, cause);
        if (text && !text[0]) {
                free(text);
                return copy_text("=");
        }
        return text;
}

char *sasl_feed(struct sasl *sasl, const char *challenge, struct cause *cause)
{
        const char *name = sasl->mechanism->name;
        size_t len = strlen(challenge);
        uint8_t *bytes = NULL;
        size_t count = 0;

        if (++sasl->rounds > LIMIT_SASL_ROUNDS || len > LIMIT_SASL_MESSAGE) {
                cause_set(cause, CAUSE_PROTOCOL, "the server's %s exchange has no end", name);
                return NULL;
        }
        if (same_text(challenge, "=") || sasl->mechanism->flags & SASL_PROMPTS)
                len = 0; /* RFC 4954 section 4: an empty challenge may be written so */
        if (len && base64_decode(challenge, len, &bytes, &count)) {
                cause_set(cause, CAUSE_PROTOCOL, "the server's %s challenge is not base64", name);
                return NULL;
        }
        char *text = answer_of(sasl, bytes ? bytes : (const uint8_t *)"", count, cause);
        if (bytes)
                explicit_bzero(bytes, count);
        free(bytes);
        return text;
}

struct calculation *sasl_calculation(struct sasl *sasl, const char *challenge)
{
        const struct sasl_class *class = sasl->mechanism->class;
        size_t len = strlen(challenge), count = 0;
        uint8_t *bytes = NULL;

        if (!class->calculation || len > LIMIT_SASL_MESSAGE || base64_decode(challenge, len, &bytes, &count))
                return NULL;
        char *text = copy_bytes((const char *)bytes, count);
        struct calculation *calculation = class->calculation(sasl, text);
        if (calculation) {
                free(sasl->awaiting);
                sasl->awaiting = copy_text(challenge);
        }
        free(text);
        free(bytes);
        return calculation;
}

char *sasl_calculated(struct sasl *sasl, const struct calculation *calculation, struct cause *cause)
{
        scoped(scoped_free) char *challenge = take(sasl->awaiting);

        if (sasl->mechanism->class->calculated(sasl, calculation, cause))
                return NULL;
        return sasl_feed(sasl, challenge, cause);
}

int sasl_finish(struct sasl *sasl, const char *final, struct cause *cause)
{
        if (final && final[0] && !sasl->through) {
                char *answer = sasl_feed(sasl, final, cause);
                if (!answer)
                        return -1;
                free_secret(answer);
        }
        if (!(sasl->mechanism->flags & SASL_PROVES_SERVER) || sasl->through)
                return 0;
        return cause_set(cause, CAUSE_SERVER_SIGNATURE,
                         "the server said success in %s without proving that it knows the password",
                         sasl->mechanism->name);
}

bool sasl_showed(const struct sasl *sasl)
{
        unsigned flags = sasl->mechanism->flags;

        return sasl->answers > ((flags & (SASL_SCRAM | SASL_PROMPTS)) ? 1 : 0);
}

void sasl_free(struct sasl *sasl)
{
        if (!sasl)
                return;
        if (sasl->mechanism)
                sasl->mechanism->class->end(sasl);
        free(sasl->awaiting);
        free(sasl);
}
