/* SPDX-License-Identifier: MIT */
/* A hash table of sessions with a list in order of last use; at most one for each of LIMIT_ACCOUNTS accounts.
 */
#include "daemon/tls/tickets.h"

#include "common/limits.h"
#include "daemon/sha256.h"


enum { BUCKETS = 4096 }; /* a power of two; the key is a digest already */

struct ticket {
        uint8_t key[32];
        SSL_SESSION *session;
        struct ticket_verdict verdict;
        struct ticket *chain;         /* in its bucket */
        struct ticket *older, *newer; /* by last use */
};
static struct ticket *buckets[BUCKETS];
static struct ticket *oldest, *newest;
static size_t count;

/* Each text with its length, so that no two different inputs give the same bytes. */
static void add_text(EVP_MD_CTX *digest, const char *text)
{
        uint32_t len = text ? (uint32_t)strlen(text) : 0;

        sha256_add(digest, &len, sizeof len);
        sha256_add(digest, text, len);
}

/* All that a verdict depends on is in the key, the generation of trust included: a ticket from before a
 * change is not found any more. */
void tickets_key(const struct ticket_inputs *inputs, uint8_t out[32])
{
        scoped(sha256_free) EVP_MD_CTX *digest = NULL;
        uint64_t numbers[] = { inputs->port, (uint64_t)inputs->min_version, inputs->legacy_renegotiation,
                               inputs->generation };

        sha256_begin(&digest);
        add_text(digest, inputs->account);
        add_text(digest, inputs->host);
        add_text(digest, inputs->alpn);
        add_text(digest, inputs->client_certificate);
        sha256_add(digest, numbers, sizeof numbers);
        sha256_end(digest, out);
}

/* The link that points to it, or the end of its chain. */
static struct ticket **place_of(const uint8_t key[32])
{
        struct ticket **at = &buckets[(key[0] | (unsigned)key[1] << 8) & (BUCKETS - 1)];

        while (*at && memcmp((*at)->key, key, 32) != 0)
                at = &(*at)->chain;
        return at;
}

static void unlist(struct ticket *ticket)
{
        *(ticket->older ? &ticket->older->newer : &oldest) = ticket->newer;
        *(ticket->newer ? &ticket->newer->older : &newest) = ticket->older;
        ticket->older = ticket->newer = NULL;
}

static void list_newest(struct ticket *ticket)
{
        ticket->older = newest;
        *(newest ? &newest->newer : &oldest) = ticket;
        newest = ticket;
}

static void drop(struct ticket *ticket)
{
        *place_of(ticket->key) = ticket->chain;
        unlist(ticket);
        SSL_SESSION_free(ticket->session);
        free(ticket);
        count--;
}

void tickets_drop_all(void)
{
        while (oldest)
                drop(oldest);
}

size_t tickets_count(void)
{
        return count;
}

/* The caller gets a reference of its own. A session is resumed only as long as the verdict holds that its
 * full handshake had. */
SSL_SESSION *tickets_get(const uint8_t key[32], time_t now, struct ticket_verdict *out)
{
        struct ticket *ticket = *place_of(key);

        if (!ticket)
                return NULL;
        if (now >= ticket->verdict.until || SSL_SESSION_up_ref(ticket->session) != 1) {
                drop(ticket);
                return NULL;
        }
        unlist(ticket);
        list_newest(ticket);
        *out = ticket->verdict;
        return ticket->session;
}

/* Replaces the last one of the same key, since the newest is good for longest. When there are too many the
 * one unused for longest goes. */
void tickets_put(const uint8_t key[32], SSL_SESSION *session, const struct ticket_verdict *verdict)
{
        struct ticket *ticket = *place_of(key);

        if (!SSL_SESSION_is_resumable(session) || SSL_SESSION_up_ref(session) != 1)
                return;
        if (ticket)
                drop(ticket);
        else if (count == LIMIT_ACCOUNTS)
                drop(oldest);
        ticket = new_object(struct ticket);
        memcpy(ticket->key, key, 32);
        ticket->session = session;
        ticket->verdict = *verdict;
        *place_of(key) = ticket;
        list_newest(ticket);
        count++;
}
