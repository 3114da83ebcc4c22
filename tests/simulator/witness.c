/* SPDX-License-Identifier: MIT */
/* The naive judge of certificates; see witness.h. */
#include "tests/simulator/witness.h"

#include "tests/simulator/world.h"

#include <stdio.h>

/* A decision, an import or the setting of a clock counts for a session whose handshake was before it; a
 * handshake and what follows it take no longer than this. */
enum { IN_FLIGHT_MS = 5 * MINUTE_MS };

struct decision {
        char host[64], fingerprint[65];
        uint16_t port;
        unsigned problems;
        enum witness_word word;
        int64_t when;
        struct decision *next; /* the one before */
};

struct view {
        struct decision *last;
        bool plant_known;
        int64_t plant_changed; /* when somebody asked to */
        int64_t clock_error, clock_changed;
};
static struct view *view;

/* The last moment at which the station's clock was another. */
static void look_at_clock(void)
{
        if (machine_clock_error() != view->clock_error) {
                view->clock_error = machine_clock_error();
                view->clock_changed = world_now();
        }
}

static bool is_fresh(int64_t when)
{
        return when && world_now() - when < IN_FLIGHT_MS;
}

unsigned witness_problems(const struct cert *cert, const char *host)
{
        time_t now = world_time() + machine_clock_error();
        bool known = cert->kind == CERT_PLANT ? view->plant_known : cert->kind != CERT_SELF;
        bool named = cert->kind != CERT_WRONG_NAME && host && same_text(host, cert->host);

        return (known ? 0 : WITNESS_ISSUER) | (named ? 0 : WITNESS_NAME) |
               (now > cert->to ? WITNESS_EXPIRED : 0) | (now < cert->from ? WITNESS_NOT_YET : 0);
}

/* What may be overlooked because it is being changed, or was just now. */
static unsigned excused(const struct cert *cert)
{
        time_t now = world_time() + machine_clock_error();
        unsigned set = 0;

        if (cert->kind == CERT_PLANT && is_fresh(view->plant_changed))
                set |= WITNESS_ISSUER;
        if (is_fresh(view->clock_changed) || now - cert->to < IN_FLIGHT_MS / SECOND_MS)
                set |= WITNESS_EXPIRED | WITNESS_NOT_YET;
        return set;
}

/* The newest word about it counts; one that is fresh may or may not. */
static bool is_approved(const struct cert *cert, const char *host, uint16_t port, unsigned problems)
{
        for (const struct decision *decision = view->last; decision; decision = decision->next) {
                if (decision->port != port || !same_text(decision->host, host) ||
                    !same_text(decision->fingerprint, cert->fingerprint))
                        continue;
                if (decision->word == WORD_APPROVED && !(problems & ~decision->problems))
                        return true;
                if (decision->word != WORD_APPROVED && !is_fresh(decision->when))
                        return false;
        }
        return false;
}

void witness_judges(const struct mail_server *server, const struct cert *cert, const char *name,
                    const char *what)
{
        if (!cert)
                violated("trust.clear", "%s:%u heard in clear: %.40s", server->host, server->port, what);
        const char *host = name ? name : "";
        unsigned problems = witness_problems(cert, host) & ~excused(cert);
        if (problems && !is_approved(cert, host, server->port, problems))
                violated("trust.unchecked",
                         "%s:%u, whose certificate is %s (problems %u), heard as %s: %.40s", server->host,
                         server->port, cert_kind_name(cert->kind), problems, host, what);
}

void witness_decides(const char *host, uint16_t port, const char *fingerprint, unsigned problems,
                     enum witness_word word)
{
        struct decision *decision = world_alloc(sizeof *decision);

        (void)snprintf(decision->host, sizeof decision->host, "%s", host);
        (void)snprintf(decision->fingerprint, sizeof decision->fingerprint, "%s", fingerprint);
        decision->port = port;
        decision->problems = problems;
        decision->word = word;
        decision->when = world_now() + 1;
        decision->next = view->last;
        view->last = decision;
}

void witness_imports_plant(bool imported)
{
        view->plant_known = imported;
        view->plant_changed = world_now() + 1;
}

void witness_open(void)
{
        static const struct invariant clock = { "witness.clock", look_at_clock, NULL };

        view = world_alloc(sizeof *view);
        invariant_add(&clock);
}
