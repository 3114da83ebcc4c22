/* SPDX-License-Identifier: MIT */
/*
 * One session: connection, TLS with verdict, chat; see session.h. The order for useSsl is connect, handshake, verdict,
 * chat start; for useStartTls connect, chat start, go-ahead, handshake, verdict, chat secured. The verdict stands
 * between in both. Here are its place, its beginning and its end; TLS is in session_tls.c, what is said in session_talk.c.
 */
#include "daemon/journal.h"
#include "daemon/session/session_parts.h"
#include "daemon/tls/trust.h"

#include <stdio.h>

enum {
        SHARE_LEAST = 5,                /* seconds for one of several addresses, where half of the timeout is not less */
        ATTEMPT_TIMEOUTS = 2,           /* of these have passed, no further address is begun with */
};

struct link_end {
        struct cause why;
        char challenge_id[13];
};

static struct {
        struct link *all, *last;
        unsigned waiting;
        bool sweeping, telling;
} links;

struct subject link_subject(const struct link *link)
{
        return (struct subject){
                .account = link->plan.account[0] ? link->plan.account : NULL,
                .direction = link->plan.direction,
                .host = link->plan.host,
                .port = link->plan.port,
        };
}

/* ---- places ---- */

static bool waits(const struct link *link)
{
        return !link->counted && !link->end;
}

bool link_contended(const struct link *link)
{
        if (!links.waiting)
                return false;
        for (struct link *other = links.all; other; other = other->next)
                if (waits(other) && (places_all_taken() || other->host == link->host))
                        return true;
        return false;
}

int64_t link_waits_ms(const struct link *link)
{
        return waits(link) ? loop_now() - link->since : -1;
}

char *link_waits_words(const struct link *link)
{
        if (places_all_taken())
                return text_of("all %u sessions that MaxSessions allows are taken", links_open());
        return text_of("all %u sessions with %s that MaxSessionsPerHost allows are taken", places_at_host(),
                       link->plan.host);
}

static void free_link(void *ctx)
{
        struct link *link = ctx;

        free((char *)link->plan.account);
        free((char *)link->plan.host);
        free((char *)link->plan.client_certificate);
        free(link->end);
        free(link->before);
        free(link);
}

static void start_waiting(void *unused);

void links_start_waiting(void)
{
        if (!links.sweeping)
                loop_later(start_waiting, NULL);
        links.sweeping = true;
}

static void give_back_place(struct link *link)
{
        if (!link->counted)
                return;
        link->counted = false;
        place_give_back(link->host);
        links_start_waiting();
}

/* ---- the end ---- */

static void free_chat_later(struct chat *chat)
{
        chat->due = NULL;
        loop_later((void (*)(void *))chat->class->free, chat);
}

static void tell_end(void *object)
{
        struct link *link = object;

        link->user->ended(link->ctx, &link->end->why, link->end->challenge_id);
}

void link_end_with(struct link *link, const struct cause *why, const char *challenge_id)
{
        if (link->end)
                return;
        if (waits(link))
                links.waiting--;
        link->end = new_object(struct link_end);
        link->end->why = *why;
        (void)snprintf(link->end->challenge_id, sizeof link->end->challenge_id, "%s", challenge_id);
        link_forget_calculation(link);
        if (link->connection) {
                link->times = connection_times(link->connection);
                if (why->code == CAUSE_NONE)
                        connection_close(take(link->connection));
                else
                        connection_abort(take(link->connection));
                link->channel = NULL;
        }
        if (why->code != CAUSE_NONE && !chat_is_over(link->chat))
                (void)chat_fail_with(link->chat, why); /* it takes no more work until the user knows */
        give_back_place(link);
        loop_later_to(link->self, tell_end);
}

void link_close(struct link *link)
{
        if (!link || !link->self)
                return;
        handle_drop(&link->self);
        if (waits(link))
                links.waiting--;
        link_forget_calculation(link);
        if (link->connection)
                connection_close(take(link->connection));
        link->channel = NULL;
        give_back_place(link);
        *(link->previous ? &link->previous->next : &links.all) = link->next;
        *(link->next ? &link->next->previous : &links.last) = link->previous;
        host_release(link->host);
        free_chat_later(take(link->chat));
        loop_later(free_link, link);
}

/* ---- what went wrong ---- */

/* A server may let a handshake without client certificate pass, and refuse all else for want of it. */
static void explain_refusal(const struct link *link, struct cause *cause)
{
        if (!link->info.asked_certificate || (cause->code != CAUSE_AUTHENTICATION && cause->code != CAUSE_SERVER_BUSY))
                return;
        scoped(scoped_free) char *remedy = copy_text(cause_remedy_of(cause));
        cause_remedy(cause, "the server asks for a client certificate and this account has none: emailsecctl trust key "
                            "import KEY FILE, then emailsecctl account set NAME clientCertificate=KEY; or: %s", remedy);
}

/* A server that waits for TLS from the first byte is as silent as one that hangs. */
static void explain_silence(const struct link *link, struct cause *cause)
{
        if (cause->code != CAUSE_TIMEOUT || link->plan.ssl || link->heard || link_times(link).connect < 0)
                return;
        cause_remedy(cause, "if port %u there has TLS from the first byte: emailsecctl account secure NAME ssl --port %u; "
                            "else see whether the server answers; one that is slow to greet needs a longer connectionTimeout",
                     link->plan.port, link->plan.port);
}

/* True when the address as such does not serve: it broke off, or refused, before it had answered anything, or in the
 * TLS handshake (RFC 5321 section 5.1). What the certificate is judged to be is not among it. */
static bool address_fails(const struct link *link, const struct cause *why)
{
        bool serves = link->chat->bound && link->chat->state != CHAT_WANTS_TLS;

        return !serves && link_times(link).connect >= 0 && why->code != CAUSE_INJECTION && why->code != CAUSE_INTERNAL &&
               why->code != CAUSE_INVALID;
}

static bool may_try_next(const struct link *link)
{
        int64_t most = (int64_t)link->plan.timeout_seconds * ATTEMPT_TIMEOUTS * 1000;

        return link->user->again && connection_others(link->connection) && loop_now() - link->since < most;
}

static void open_connection(struct link *link, struct connection *after);

static void try_next(struct link *link, const struct cause *why)
{
        struct subject subject = link_subject(link);
        struct connection *failed = link->connection;

        free(link->before);
        link->before = text_of("%s does not serve (%s)", connection_address(failed), why->text);
        log_about(&subject, LOG_NOTICE, NULL, "%s:%u: %s: trying another address", link->plan.host, link->plan.port,
                  link->before);
        link_forget_calculation(link);
        link->channel = NULL;
        link->info = (struct channel_info){ 0 };
        link->talking = link->heard = link->moved = link->drained = link->armed = false;
        free_chat_later(link->chat);
        link_use_chat(link, link->user->again(link->ctx));
        open_connection(link, failed);
        connection_abort(failed);
}

void link_lose(struct link *link, const struct cause *why)
{
        struct cause cause = *why;

        if (address_fails(link, &cause)) {
                connection_blame(link->connection);
                if (may_try_next(link)) {
                        try_next(link, &cause);
                        return;
                }
        }
        explain_silence(link, &cause);
        link_explain_signin(link, &cause);
        explain_refusal(link, &cause);
        link_end_with(link, &cause, "");
}

unsigned link_share(const struct link *link)
{
        unsigned whole = link->plan.timeout_seconds, others = (unsigned)connection_others(link->connection);
        unsigned least = whole / 2 < SHARE_LEAST ? whole / 2 : SHARE_LEAST, share = whole / (others + 1);

        if (!others || !link->user->again)
                return whole;
        return share > least ? share : least > 0 ? least : 1;
}

/* ---- the connection ---- */

static void on_connected(void *ctx)
{
        struct link *link = ctx;
        struct chat_channel plain = { .tls = false };

        connection_local(link->connection, plain.local, sizeof plain.local);
        if (link->plan.ssl)
                link_begin_tls(link, true);
        else
                link_talk(link, &plain);
        if (link->connection && link->user->reached)
                link->user->reached(link->ctx, LINK_CONNECTED, NULL);
}

static void on_secured(void *ctx)
{
        link_secured(ctx);
}

static void on_received(void *ctx, const uint8_t *bytes, size_t len)
{
        link_received(ctx, bytes, len);
}

static void on_drained(void *ctx)
{
        link_drained(ctx);
}

/* What the chat has come to counts before how the connection ended. */
static void on_ended(void *ctx, const struct cause *why)
{
        struct link *link = ctx;
        struct chat *chat = link->chat;
        struct cause cause = *why;

        if (cause.code == CAUSE_NONE && link->talking && !chat_is_over(chat))
                chat->class->closed(chat);
        if (!link->connection)
                return; /* closed in between */
        if (chat->state == CHAT_FAILED)
                cause = *chat->cause;
        else if (chat->state == CHAT_ENDED)
                cause = cause_none;
        else if (cause.code == CAUSE_NONE)
                cause_set(&cause, CAUSE_CLOSED, "%s closed the connection", link->plan.host);
        link_lose(link, &cause);
}

static const struct connection_user connection_user = {
        .connected = on_connected,
        .secured = on_secured,
        .received = on_received,
        .drained = on_drained,
        .ended = on_ended,
};

/* ---- opening ---- */

static void open_connection(struct link *link, struct connection *after)
{
        struct connection_request request = {
                .host = link->plan.host,
                .port = link->plan.port,
                .timeout_seconds = link->plan.timeout_seconds,
                .after = after,
        };

        link->connection = connection_open(&request, &connection_user, link);
}

static void start(struct link *link)
{
        link->counted = true;
        place_take(link->host);
        link->since = loop_now();
        open_connection(link, NULL);
}

static void start_waiting(void *unused)
{
        (void)unused;
        links.sweeping = false;
        for (struct link *link = links.all; link && links.waiting; link = link->next)
                if (waits(link) && place_is_free(link->host)) {
                        links.waiting--;
                        start(link);
                }
}

/* Whoever sits idle on a place that somebody waits for is to see to it. */
static void tell_wanted(void *unused)
{
        (void)unused;
        links.telling = false;
        for (struct link *link = links.all, *next; link && links.waiting; link = next) {
                next = link->next;
                if (link->counted && !link->end && link->user->wanted)
                        link->user->wanted(link->ctx);
        }
}

static void wait_for_place(void)
{
        links.waiting++;
        if (!links.telling)
                loop_later(tell_wanted, NULL);
        links.telling = true;
}

struct link *link_open(const struct link_plan *plan, struct chat *chat, const struct link_user *user, void *ctx)
{
        struct link *link = new_object(struct link);

        link->plan = *plan;
        link->plan.account = copy_text(plan->account ? plan->account : "");
        link->plan.host = copy_text(plan->host);
        link->plan.client_certificate = copy_text(plan->client_certificate);
        link->self = handle_new(link);
        link_use_chat(link, chat);
        link->user = user;
        link->ctx = ctx;
        link->generation = trust_generation();
        link->times = (struct connection_times){ -1, -1, -1 };
        link->host = host_hold(link->plan.host);
        link->since = loop_now();
        link->previous = links.last;
        *(links.last ? &links.last->next : &links.all) = link;
        links.last = link;
        if (place_is_free(link->host) || link->plan.host[0] == '/')
                start(link);
        else
                wait_for_place();
        return link;
}

struct chat *link_chat(struct link *link)
{
        return link->chat;
}

handle_id link_handle(const struct link *link)
{
        return link->self;
}

void link_pause(struct link *link, bool paused)
{
        if (link->paused == paused)
                return;
        link->paused = paused;
        link_hold_reading(link);
        link_touch(link);
}

void link_quit(struct link *link)
{
        struct cause none = { 0 };

        if (link->end)
                return;
        if (link->chat->state == CHAT_READY && link->connection)
                link->chat->class->quit(link->chat);
        else
                link_end_with(link, &none, "");
}
