/* SPDX-License-Identifier: MIT */
/* What follows a refusal; see ways.h. */
#include "daemon/sasl/ways.h"

#include "common/limits.h"
#include "daemon/sasl/exchange.h"

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
