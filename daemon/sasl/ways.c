/* SPDX-License-Identifier: MIT */
/* Which way follows a refused one, and a sign-in line by line that goes them; see ways.h. */
#include "daemon/sasl/ways.h"

#include "common/limits.h"
#include "daemon/sasl/exchange.h"
#include "daemon/sasl/repeat.h"

#include <string.h>

enum {
        REFUSALS_MOST = 8, /* of one session */
        SHOWN_MOST = 2,    /* refusals after the password was shown: servers count them, and lock accounts */
};

static unsigned row_of(const char *mechanism)
{
        unsigned row = 0;

        while (row < SASL_MECHANISMS && !same_text(sasl_mechanisms[row].name, mechanism))
                row++;
        return row;
}

/* Which fail as that one did. After the proof: either the password is wrong, or the server has none that this
 * kind of proof can be compared with. Before it: SCRAM is not to be had there at all. A binding to the
 * channel fails for the bound forms alone. Servers count failures: what can be known is not tried. */
static unsigned of_the_kind(const struct sasl_mechanism *mechanism, bool showed)
{
        unsigned flags = mechanism->flags, kind = 0;

        for (unsigned i = 0; i < SASL_MECHANISMS; i++) {
                unsigned other = sasl_mechanisms[i].flags;
                bool alike = &sasl_mechanisms[i] == mechanism ||
                             (flags & SASL_BINDS       ? other & SASL_BINDS
                              : flags & SASL_PLAINTEXT ? false
                              : showed                 ? !(other & SASL_PLAINTEXT)
                                                       : (flags & SASL_SCRAM) && (other & SASL_SCRAM));
                if (alike)
                        kind |= 1u << i;
        }
        return kind;
}

/* Words that say nothing of the mechanism, or all there is to say. */
static bool may_be_the_mechanism(enum server_kind kind)
{
        return kind == SAID_NOTHING_KNOWN || kind == SAID_REFUSED || kind == SAID_MECHANISM ||
               kind == SAID_OTHER_WAY || kind == SAID_WRONG_PASSWORD || kind == SAID_OUR_FAULT;
}

enum sasl_again sasl_refused(struct sasl_ways *ways, const struct signin *signin, const char *mechanism,
                             const struct sasl_refusal *refusal)
{
        unsigned row = row_of(mechanism);
        bool syntax = refusal->kind == SAID_MECHANISM || refusal->kind == SAID_OUR_FAULT;

        if (row == SASL_MECHANISMS || ++ways->refusals > REFUSALS_MOST ||
            !may_be_the_mechanism(refusal->kind))
                return SASL_NO_MORE;
        if (syntax && refusal->first_sent && !ways->without_first) {
                ways->without_first = true;
                return SASL_WITHOUT_FIRST;
        }
        const struct sasl_mechanism *m = &sasl_mechanisms[row];
        ways->tried |= syntax ? 1u << row : of_the_kind(m, refusal->showed);
        if (syntax || !refusal->showed)
                return SASL_NEXT;
        /* What signed in before is not broken; and a password that was sent as it is is wrong if the server
         * says so. */
        bool password = same_text(signin->proven, mechanism) ||
                        ((m->flags & SASL_PLAINTEXT) && refusal->kind == SAID_WRONG_PASSWORD);
        return password || ++ways->shown >= SHOWN_MOST ? SASL_NO_MORE : SASL_NEXT;
}

bool sasl_failed(struct sasl_ways *ways, const struct signin *signin, const struct sasl *sasl,
                 const struct cause *cause)
{
        const struct sasl_mechanism *m = sasl->mechanism;
        bool scram = m->flags & SASL_SCRAM;
        struct sasl_refusal refusal = { .kind = SAID_MECHANISM, .showed = sasl_showed(sasl) };

        /* a server that lies in SCRAM is not given the password instead; one that says no in it (RFC 5802
         * section 7) may be */
        if (cause->code != CAUSE_SECRET && cause->code != (scram ? CAUSE_AUTHENTICATION : CAUSE_PROTOCOL))
                return false;
        if (strstr(cause->text, "invalid-proof") || strstr(cause->text, "unknown-user"))
                refusal.kind = SAID_WRONG_PASSWORD;
        return sasl_refused(ways, signin, m->name, &refusal) == SASL_NEXT;
}

void signin_remedy(const struct signin *signin, const char *mechanism, const char *others,
                   struct cause *cause)
{
        unsigned row = mechanism ? row_of(mechanism) : SASL_MECHANISMS;
        bool about = cause->code == CAUSE_AUTHENTICATION || cause->code == CAUSE_NO_MECHANISM ||
                     cause->code == CAUSE_PROTOCOL || cause->code == CAUSE_SECRET;

        if (!about || !others[0] || row == SASL_MECHANISMS ||
            (sasl_is_automatic(signin) && (sasl_mechanisms[row].flags & SASL_PLAINTEXT)))
                return;
        scoped(scoped_free) char *general = copy_text(cause_remedy_of(cause));
        cause_remedy(cause,
                     "%s; if that is right, the server may not do %s: emailsecctl account set NAME "
                     "authentication=%s",
                     general, mechanism, others);
}

char *sasl_broken(const struct sasl_ways *ways, const struct signin *signin, const char *offered)
{
        struct buf names = BUF_WITH_MAX(LIMIT_PROPERTY_TEXT);

        for (unsigned i = 0; i < SASL_MECHANISMS; i++) {
                const char *name = sasl_mechanisms[i].name;
                bool known = signin->broken && sasl_offers(signin->broken, name);
                if ((known || ways->tried & 1u << i) && sasl_offers(offered, name) &&
                    buf_appendf(&names, "%s%s", names.len ? " " : "", name))
                        break;
        }
        if (!names.len) {
                buf_free(&names);
                return NULL;
        }
        return buf_take_text(&names);
}

/* ---- a sign-in line by line ---- */

void line_signin_clear(struct line_signin *signin)
{
        sasl_free(take(signin->sasl));
        free_secret(take(signin->first_response));
        free_secret(take(signin->last_said));
        signin->mechanism = NULL;
        signin->first_sent = false;
        signin->rounds = 0;
}

int line_signin_begin(struct line_signin *signin)
{
        struct cause cause = { 0 };
        int step = signin->class->next_way(signin->engine, &cause);

        return step != STEP_FAILED ? step : engine_fail_with(signin->engine, &cause);
}

bool line_signin_start(struct line_signin *signin, char **first)
{
        struct cause cause = { 0 };

        signin->sasl = sasl_new(signin->signin, &signin->engine->channel, signin->mechanism, &cause);
        *first = signin->sasl ? sasl_first(signin->sasl, &cause) : NULL;
        if (cause.code == CAUSE_NONE)
                return true;
        free_secret(take(*first));
        (void)engine_fail_with(signin->engine, &cause);
        return false;
}

int line_signin_answer(struct line_signin *signin, char *secret)
{
        free_secret(signin->last_said);
        signin->last_said = secret;
        signin->class->say(signin->engine, secret);
        return STEP_SAME;
}

/* The next way where there is one, else the cause. `open`: the exchange is still open, and is cancelled
 * first. */
static int go_on(struct line_signin *signin, bool again, bool open, struct cause *cause)
{
        scoped(scoped_free) char *offered = signin->class->offered(signin->engine);
        const char *refused = signin->mechanism;
        struct cause unused = { 0 };

        if (again) {
                line_signin_clear(signin);
                int step = signin->class->next_way(signin->engine, &unused);
                if (step != STEP_FAILED) {
                        engine_refused(signin->engine, cause);
                        if (!open)
                                return step;
                        signin->after_cancel = step;
                        signin->class->say(signin->engine, "*");
                        return STEP_SAME;
                }
        }
        scoped(scoped_free) char *others =
                sasl_other_words(&signin->engine->channel, offered, refused ? refused : "");
        signin_remedy(signin->signin, refused, others, cause);
        return engine_fail_with(signin->engine, cause);
}

/* `response` NULL: the exchange has failed on our side. */
static int answer_or_give_up(struct line_signin *signin, char *response, struct cause *cause)
{
        if (response)
                return line_signin_answer(signin, response);
        return go_on(signin, sasl_failed(&signin->ways, signin->signin, signin->sasl, cause), true, cause);
}

int line_signin_calculated(struct line_signin *signin, const struct calculation *calculation)
{
        struct cause cause = { 0 };
        char *response = sasl_calculated(signin->sasl, calculation, &cause);

        return answer_or_give_up(signin, response, &cause);
}

int line_signin_challenge(struct line_signin *signin, const char *challenge, size_t len)
{
        struct cause cause = { 0 };

        if (++signin->rounds > LIMIT_SASL_ROUNDS || len > LIMIT_SASL_MESSAGE)
                return engine_fail(signin->engine, CAUSE_PROTOCOL,
                                   "the server asks too much while signing in");
        if (signin->first_response) {
                /* "=" stands for an empty response in the command only; on a line of its own it is empty */
                char *first = take(signin->first_response);
                if (same_text(first, "="))
                        first[0] = '\0';
                return line_signin_answer(signin, first);
        }
        scoped(scoped_free) char *text = copy_bytes(challenge, len);
        struct calculation *slow = sasl_calculation(signin->sasl, text);
        if (slow)
                return engine_calculate(signin->engine, slow, signin->class->calculated);
        char *response = sasl_feed(signin->sasl, text, &cause);
        return answer_or_give_up(signin, response, &cause);
}

int line_signin_refused(struct line_signin *signin, enum server_kind kind, struct cause *cause)
{
        struct sasl_refusal refusal = {
                .kind = kind,
                .first_sent = signin->first_sent,
                .showed = sasl_showed(signin->sasl) && !signin->first_response,
        };
        enum sasl_again again = sasl_refused(&signin->ways, signin->signin, signin->mechanism, &refusal);

        return go_on(signin, again != SASL_NO_MORE, false, cause);
}

int line_signin_cancelled(struct line_signin *signin)
{
        int step = signin->after_cancel;

        signin->after_cancel = 0;
        return step;
}

bool line_signin_repeated(const struct line_signin *signin, const char *words, size_t len)
{
        const char *said = signin->last_said;

        return signin_repeated(signin->signin, words, len) ||
               (said && strlen(said) >= SECRET_SHORTEST && memmem(words, len, said, strlen(said)));
}
