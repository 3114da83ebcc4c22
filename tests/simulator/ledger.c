/* SPDX-License-Identifier: MIT */
/* The books of the world; see ledger.h. */
#include "tests/simulator/ledger.h"

#include "tests/simulator/letter.h"
#include "tests/simulator/world.h"

#include <stdio.h>

enum {
        RECIPIENTS_MOST = 4,
        WITHDRAWN_MS = 5 * MINUTE_MS, /* sessions that were under way may use a password so long after it was
                                         withdrawn */
};
#define LIFETIME_MS (INT64_C(5) * DAY_MS) /* queueLifetime, which nobody changes here */

struct fate { /* of a message for one recipient */
        unsigned taken;
        bool doubtful;                    /* the station may not know that it was taken */
        bool told_sent, failed;           /* by the station */
        bool refused;                     /* by a server, for good */
        const struct mail_server *server; /* that took it last, in that session */
        unsigned session;
};

struct promise {
        unsigned recipients; /* 0: a message that nobody handed in here */
        int64_t since;
        bool accepted, may_go;
        char id[40], account[32];
        struct fate fates[RECIPIENTS_MOST];
};

struct secret {
        const struct mail_server *server;
        char user[64];
        int64_t withdrawn; /* 0: in use */
        int64_t rests;     /* since when its account is off; 0: it is on */
};

struct ledger {
        struct promise *promises; /* by number, from 1 */
        size_t count;
        struct secret *secrets;
        size_t secret_count;
        unsigned life;
};
static struct ledger *ledger;

/* ---- passwords ---- */

unsigned ledger_secret_new(const struct mail_server *server, const char *user)
{
        if (!ledger->secret_count)
                ledger->secret_count = 1;
        ledger->secrets =
                world_realloc(ledger->secrets, (ledger->secret_count + 1) * sizeof *ledger->secrets);
        struct secret *secret = &ledger->secrets[ledger->secret_count];

        *secret = (struct secret){ .server = server };
        (void)snprintf(secret->user, sizeof secret->user, "%s", user);
        return (unsigned)ledger->secret_count++;
}

void ledger_secret_text(unsigned secret, char *to, size_t size)
{
        (void)snprintf(to, size, "secret-%u.", secret);
}

void ledger_secret_withdrawn(unsigned secret)
{
        if (!ledger->secrets[secret].withdrawn)
                ledger->secrets[secret].withdrawn = world_now();
}

void ledger_secret_rests(unsigned secret, bool rests)
{
        ledger->secrets[secret].rests = rests ? world_now() : 0;
}

bool ledger_signs_in(const struct mail_server *server, const char *user, const char *password)
{
        const struct mailbox *mailbox = server_find_user(server, user);
        unsigned number = 0;

        if (sscanf(password, "secret-%u.", &number) != 1 || !number || number >= ledger->secret_count)
                violated("secret.invented", "%s:%u was told a password that nobody has set", server->host,
                         server->port);
        const struct secret *secret = &ledger->secrets[number];
        if (secret->server != server || !same_text(secret->user, user))
                violated("secret.elsewhere", "the password of %s at %s was told to %s for %s", secret->user,
                         secret->server->host, server->host, user);
        if (secret->withdrawn && world_now() - secret->withdrawn > WITHDRAWN_MS)
                violated("secret.kept", "a password of %s that was withdrawn was told to %s", user,
                         server->host);
        if (secret->rests && world_now() - secret->rests > WITHDRAWN_MS)
                violated("account.off", "%s signed in at %s, whose account is switched off", user,
                         server->host);
        return mailbox && same_text(mailbox->password, password);
}

/* ---- mail ---- */

uint32_t ledger_next_number(void)
{
        if (!ledger->count)
                ledger->count = 1;
        ledger->promises = world_realloc(ledger->promises, (ledger->count + 1) * sizeof *ledger->promises);
        ledger->promises[ledger->count] = (struct promise){ 0 };
        return (uint32_t)ledger->count++;
}

void ledger_recipient(uint32_t number, unsigned which, char *to, size_t size)
{
        (void)snprintf(to, size, "r%u-%u@office.example", number, which);
}

/* NULL: no such recipient was ever named. */
static struct fate *fate_of(const char *recipient, uint32_t *number)
{
        unsigned which = 0;

        if (sscanf(recipient, "r%u-%u@office.example", number, &which) != 2 || *number >= ledger->count ||
            which >= ledger->promises[*number].recipients)
                return NULL;
        return &ledger->promises[*number].fates[which];
}

void ledger_submits(uint32_t number, unsigned recipients)
{
        ledger->promises[number].recipients = recipients;
}

void ledger_submitted(uint32_t number, const char *id, const char *account)
{
        struct promise *promise = &ledger->promises[number];

        promise->accepted = true;
        promise->since = world_now();
        (void)snprintf(promise->id, sizeof promise->id, "%s", id);
        (void)snprintf(promise->account, sizeof promise->account, "%s", account);
}

/* The daemon was started anew: what the one before had heard, and perhaps not written down, is in doubt. */
static void note_life(void)
{
        if (ledger->life == daemon_life())
                return;
        ledger->life = daemon_life();
        for (size_t i = 1; i < ledger->count; i++)
                for (unsigned k = 0; k < ledger->promises[i].recipients; k++)
                        ledger->promises[i].fates[k].doubtful |= !ledger->promises[i].fates[k].told_sent;
}

void ledger_taken(const struct mail_server *server, unsigned session, bool late, const char *recipient,
                  const char *bytes, size_t len)
{
        uint32_t number = 0;
        struct fate *fate = fate_of(recipient, &number);

        note_life();
        if (!fate)
                violated("mail.invented", "%s took a message for %s, which nobody has sent", server->host,
                         recipient);
        if (!letter_is(number, bytes, len, false))
                violated("mail.bytes", "%s took %zu bytes as message %u, which are not that message",
                         server->host, len, number);
        if (fate->taken && !late && (fate->told_sent || !fate->doubtful))
                violated("mail.twice", "%s took message %u for %s again", server->host, number, recipient);
        history(server->host, "took message %u for %s%s", number, recipient, fate->taken ? " again" : "");
        fate->taken++;
        if (late && fate->told_sent)
                return; /* by a later session */
        fate->doubtful = true;
        fate->server = server;
        fate->session = session;
}

void ledger_session_settled(const struct mail_server *server, unsigned session)
{
        for (size_t i = 1; i < ledger->count; i++)
                for (unsigned k = 0; k < ledger->promises[i].recipients; k++) {
                        struct fate *fate = &ledger->promises[i].fates[k];
                        if (fate->server == server && fate->session == session)
                                fate->doubtful = false;
                }
}

void ledger_refused(const char *recipient)
{
        uint32_t number = 0;
        struct fate *fate = fate_of(recipient, &number);

        if (fate)
                fate->refused = true;
}

void ledger_told_sent(const char *recipient)
{
        uint32_t number = 0;
        struct fate *fate = fate_of(recipient, &number);

        if (fate && !fate->taken)
                violated("mail.lost", "message %u for %s is told to be sent, and no server took it", number,
                         recipient);
        if (fate)
                fate->told_sent = true;
}

static void told_failed(uint32_t number, struct fate *fate, const char *cause)
{
        const struct promise *promise = &ledger->promises[number];
        bool old = world_now() - promise->since > LIFETIME_MS - HOUR_MS || machine_clock_unseen();
        bool expired = same_text(cause, "Expired") && old;

        if (!fate->refused && !expired && !promise->may_go)
                violated("mail.failed", "message %u failed after %lld s (%s), and no server has refused it",
                         number, (long long)((world_now() - promise->since) / SECOND_MS), cause);
        fate->failed = true;
}

void ledger_told_failed(const char *id, const char *recipient, const char *cause)
{
        uint32_t number = 0;
        struct fate *fate = recipient ? fate_of(recipient, &number) : NULL;

        if (fate)
                told_failed(number, fate, cause);
        for (size_t i = 1; !recipient && i < ledger->count; i++)
                if (same_text(ledger->promises[i].id, id))
                        for (unsigned k = 0; k < ledger->promises[i].recipients; k++)
                                told_failed((uint32_t)i, &ledger->promises[i].fates[k], cause);
}

void ledger_account_goes(const char *account)
{
        for (size_t i = 1; i < ledger->count; i++)
                if (!ledger->promises[i].accepted || same_text(ledger->promises[i].account, account))
                        ledger->promises[i].may_go = true;
}

/* ---- the end ---- */

static bool is_open(const struct promise *promise, const struct fate *fate)
{
        return promise->accepted && !promise->may_go && !fate->taken && !fate->failed && !fate->refused;
}

bool ledger_is_through(uint32_t number)
{
        const struct promise *promise = &ledger->promises[number];

        for (unsigned k = 0; k < promise->recipients; k++)
                if (is_open(promise, &promise->fates[k]))
                        return false;
        return true;
}

size_t ledger_open_count(void)
{
        size_t open = 0;

        for (size_t i = 1; i < ledger->count; i++)
                for (unsigned k = 0; k < ledger->promises[i].recipients; k++)
                        open += is_open(&ledger->promises[i], &ledger->promises[i].fates[k]);
        return open;
}

void ledger_counts(size_t *accepted, size_t *taken)
{
        *accepted = *taken = 0;
        for (size_t i = 1; i < ledger->count; i++) {
                *accepted += ledger->promises[i].accepted;
                for (unsigned k = 0; k < ledger->promises[i].recipients; k++)
                        *taken += ledger->promises[i].fates[k].taken > 0;
        }
}

static void nothing_is_lost(void)
{
        for (size_t i = 1; i < ledger->count; i++)
                for (unsigned k = 0; k < ledger->promises[i].recipients; k++)
                        if (is_open(&ledger->promises[i], &ledger->promises[i].fates[k]))
                                violated("mail.lost",
                                         "message %zu (%s) was accepted, and recipient %u never got it", i,
                                         ledger->promises[i].id, k);
}

void ledger_open(void)
{
        static const struct invariant whole = { "mail.lost", NULL, nothing_is_lost };

        ledger = world_alloc(sizeof *ledger);
        invariant_add(&whole);
}
