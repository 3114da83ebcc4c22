/* SPDX-License-Identifier: MIT */
/*
 * One session: connection, TLS with verdict, chat; see link.h. The order for useSsl is connect, handshake, verdict,
 * chat start; for useStartTls connect, chat start, go-ahead, handshake, verdict, chat secured. The verdict stands
 * between in both.
 */
#include "common/printable.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/station/certificates.h"
#include "daemon/station/events.h"
#include "daemon/station/link_parts.h"
#include "daemon/store/seen_table.h"
#include "daemon/tls/trust.h"

#include <stdio.h>

enum {
        CHUNK_OUT = 256 * 1024,
        STREAMING = 512,                /* bytes at once that count as progress of a long answer */
};

static struct {
        struct link *all, *last;
        unsigned waiting;
        bool sweeping;
} links;

static struct subject subject_of(const struct link *link)
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
        return !link->counted && !link->over && !link->closed;
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

static void free_link(void *ctx)
{
        struct link *link = ctx;

        free((char *)link->plan.account);
        free((char *)link->plan.host);
        free((char *)link->plan.client_certificate);
        free(link);
}

static void start_waiting(void *unused);

static void give_back_place(struct link *link)
{
        if (!link->counted)
                return;
        link->counted = false;
        place_give_back(link->host);
        if (!links.sweeping) {
                links.sweeping = true;
                loop_later(start_waiting, NULL);
        }
}

/* ---- the end ---- */

static void end_with(struct link *link, const struct cause *why, const char *challenge_id)
{
        if (link->over || link->closed)
                return;
        link->over = true;
        link_forget_calculation(link);
        if (link->connection) {
                link->times = connection_times(link->connection);
                if (why->code == CAUSE_NONE)
                        connection_close(take(link->connection));
                else
                        connection_abort(take(link->connection));
                link->channel = NULL;
        }
        give_back_place(link);
        link->user->ended(link->ctx, why, challenge_id);
}

void link_close(struct link *link)
{
        if (!link || link->closed)
                return;
        if (waits(link))
                links.waiting--;
        link->closed = true;
        link_forget_calculation(link);
        if (link->connection)
                connection_close(take(link->connection));
        link->channel = NULL;
        give_back_place(link);
        *(link->previous ? &link->previous->next : &links.all) = link->next;
        *(link->next ? &link->next->previous : &links.last) = link->previous;
        host_release(link->host);
        if (link->chat) {
                struct chat *chat = take(link->chat);
                loop_later((void (*)(void *))chat->class->free, chat);
        }
        loop_later(free_link, link);
}

/* ---- TLS ---- */

static void begin_tls(struct link *link, bool implicit)
{
        struct cause cause = { 0 };
        struct tls_policy policy = {
                .account = link->plan.account,
                .host = link->plan.host,
                .port = link->plan.port,
                .min_version = link->plan.min_tls,
                .alpn = link->plan.alpn,
                .client_certificate = link->plan.client_certificate,
                .implicit = implicit,
                .record = link->plan.record,
        };

        if (!implicit && connection_has_unread(link->connection)) {
                cause_set(&cause, CAUSE_INJECTION,
                          "%s sent more after its go-ahead for STARTTLS, before TLS began", link->plan.host);
                end_with(link, &cause, "");
                return;
        }
        link->generation = trust_generation();
        link->channel = channel_new(&policy, connection_fd(link->connection), &cause);
        if (!link->channel) {
                end_with(link, &cause, "");
                return;
        }
        connection_secure(link->connection, channel_transport(link->channel), link->plan.timeout_seconds);
}

/* ---- talking ---- */

/* Moves what the chat wants to say to the connection, in bounded portions. */
static void move_out(struct link *link)
{
        struct buf *out = &link->chat->out;

        while (out->len && connection_unsent(link->connection) < CHUNK_OUT) {
                size_t len = out->len < CHUNK_OUT ? out->len : CHUNK_OUT;
                connection_write(link->connection, buf_bytes(out), len);
                buf_consume(out, len);
                if (link->closed || link->over)
                        return;
        }
        if (!out->len && !link->was_ready)
                buf_wipe(out); /* what signs in does not stay in memory */
        else
                buf_release(out);
}

/* The deadline of what is awaited. It begins anew with each thing awaited and while a message streams in, not with
 * each byte: a server that dribbles gains no time. */
static void arm(struct link *link, bool streams)
{
        const struct chat *chat = link->chat;
        unsigned wait = chat->wait ? chat->wait : link->plan.timeout_seconds;

        if (chat->idle || link->paused || link->calculating) {
                connection_expect(link->connection, 0, NULL);
                link->armed = false;
        } else if (!link->armed || streams || link->armed_waits != chat->waits) {
                connection_expect(link->connection, wait, chat->phrase);
                link->armed = true;
                link->armed_waits = chat->waits;
        }
}

/* S39: a server that proved itself by SCRAM once and now wants the password itself is told of, once. */
static void note_signin(const struct link *link)
{
        const char *by = link->chat->signed_in_by, *account = link->plan.account;

        if (!by || !link->plan.record || !account[0])
                return;
        const char *before = fact_text(account, "signedInBy");
        if (same_text(before, by))
                return;
        if (link->plan.auto_signin && before && strncmp(before, "SCRAM-", 6) == 0 && strncmp(by, "SCRAM-", 6) != 0) {
                struct subject subject = subject_of(link);
                log_about(&subject, LOG_WARNING, MSG_SIGNIN_WEAKER,
                          "%s signed in by %s before and by %s now: if the server's operator did not mean that, "
                          "someone else may be answering there",
                          account, before, by);
                event_emit("account.signinWeaker", account, NULL, "signed in by %s before and by %s now", before, by);
        }
        fact_set_text(account, "signedInBy", by);
}

/* A server may let a handshake without client certificate pass, and refuse all else for want of it. */
static void explain_refusal(const struct link *link, struct cause *cause)
{
        if (!link->info.asked_certificate || (cause->code != CAUSE_AUTHENTICATION && cause->code != CAUSE_SERVER_BUSY))
                return;
        scoped(scoped_free) char *remedy = copy_text(cause_remedy_of(cause));
        cause_remedy(cause, "the server asks for a client certificate and this account has none: emailsecctl trust key "
                            "import KEY FILE, then emailsecctl account set NAME clientCertificate=KEY; or: %s", remedy);
}

/* After the chat was called: send, react to its state. False when the link has gone meanwhile. */
static bool settle(struct link *link, bool streams)
{
        struct chat *chat = link->chat;
        struct cause none = { 0 };

        if (link->closed || link->over)
                return false;
        if (chat->state == CHAT_FAILED) {
                struct cause why = *chat->cause;
                explain_refusal(link, &why);
                end_with(link, &why, "");
                return false;
        }
        move_out(link);
        if (link->closed || link->over)
                return false;
        if (chat->state == CHAT_ENDED) {
                end_with(link, &none, "");
                return false;
        }
        if (chat->state == CHAT_WANTS_TLS) {
                begin_tls(link, false);
                return false;
        }
        if (chat->calculation) {
                link_calculate(link);
                connection_pause(link->connection, true);
        }
        if (chat->state == CHAT_READY && !link->was_ready) {
                link->was_ready = true;
                note_signin(link);
                if (link->user->reached)
                        link->user->reached(link->ctx, LINK_READY, NULL);
                if (!link->closed && !link->over)
                        link->user->ready(link->ctx);
                if (link->closed || link->over)
                        return false;
                if (chat->state == CHAT_FAILED)
                        return settle(link, streams);
                move_out(link);
        }
        if (link->closed || link->over)
                return false;
        arm(link, streams);
        return true;
}

static void progress(struct link *link)
{
        if (link->was_ready && link->user->progress)
                link->user->progress(link->ctx);
        if (!link->closed && !link->over)
                (void)settle(link, false);
}

void link_pump(struct link *link)
{
        if (link->pumping || !link->connection || link->closed || link->over)
                return;
        link->pumping = true;
        (void)settle(link, false);
        link->pumping = false;
}

void link_calculated(struct link *link, const struct calculation *calculation)
{
        connection_pause(link->connection, link->paused);
        link->pumping = true;
        chat_calculated(link->chat, calculation);
        (void)settle(link, false);
        link->pumping = false;
}

static void on_connected(void *ctx)
{
        struct link *link = ctx;
        struct chat_channel plain = { .tls = false };

        if (link->user->reached)
                link->user->reached(link->ctx, LINK_CONNECTED, NULL);
        if (link->closed || link->over)
                return;
        if (link->plan.ssl) {
                begin_tls(link, true);
                return;
        }
        link->pumping = true;
        link->chat->class->start(link->chat, &plain);
        (void)settle(link, false);
        link->pumping = false;
}

static void log_channel(const struct link *link)
{
        struct subject subject = subject_of(link);

        subject.tls_version = link->info.version;
        subject.tls_cipher = link->info.cipher;
        subject.cert_sha256 = link->info.fingerprint;
        subject.key_sha256 = link->info.key_fingerprint;
        log_debug(&subject, "%s:%u: %s %s, %s%s", link->plan.host, link->plan.port, link->info.version,
                  link->info.cipher,
                  same_text(link->info.verified_by, "allowedHost") ? "encrypted, identity by exemption" : "verified by ",
                  same_text(link->info.verified_by, "allowedHost") ? "" : link->info.verified_by);
}

static void remember_certificate(const struct link *link)
{
        struct certificate leaf;

        if (certificates_known(link->plan.host, link->plan.port, link->info.fingerprint, link->info.verified_by) ||
            !channel_leaf(link->channel, &leaf))
                return;
        certificates_note(link->plan.host, link->plan.port, &leaf, link->info.verified_by);
        certificate_done(&leaf);
}

static void on_secured(void *ctx)
{
        struct link *link = ctx;
        struct chat_channel channel = { .tls = true };
        struct verdict verdict;

        channel_verdict(link->channel, &verdict);
        link->verdict = verdict.kind;
        memcpy(link->allowed_id, verdict.allowed_id, sizeof link->allowed_id);
        channel_info(link->channel, &link->info);
        if (link->plan.record)
                remember_certificate(link);
        if (verdict_is_good(&verdict))
                link->generation = trust_generation(); /* recording it may have made an entry needless */
        if (link->user->reached)
                link->user->reached(link->ctx, LINK_SECURED, &verdict);
        if (link->closed || link->over)
                return;
        if (!verdict_is_good(&verdict)) {
                end_with(link, &verdict.cause, verdict.allowed_id);
                return;
        }
        log_channel(link);
        channel_binding(link->channel, &channel.binding);
        link->pumping = true;
        if (link->plan.ssl)
                link->chat->class->start(link->chat, &channel);
        else
                link->chat->class->secured(link->chat, &channel);
        explicit_bzero(&channel.binding, sizeof channel.binding);
        (void)settle(link, false);
        link->pumping = false;
}

/* A server that waits for TLS from the first byte is as silent as one that hangs. */
static void explain_silence(const struct link *link, struct cause *cause)
{
        if (cause->code != CAUSE_TIMEOUT || link->plan.ssl || link->heard || link_times(link).connect < 0)
                return;
        cause_remedy(cause, "if port %u there has TLS from the first byte: emailsecctl account secure NAME ssl --port %u; "
                            "else see whether the server answers", link->plan.port, link->plan.port);
}

static void on_received(void *ctx, const uint8_t *bytes, size_t len)
{
        struct link *link = ctx;

        link->heard = true;
        link->pumping = true;
        link->chat->class->received(link->chat, bytes, len);
        if (settle(link, len >= STREAMING))
                progress(link);
        link->pumping = false;
}

static void on_drained(void *ctx)
{
        struct link *link = ctx;

        if (link->over || link->closed)
                return;
        link->pumping = true;
        if (link->chat->class->drained && !link->chat->out.len)
                link->chat->class->drained(link->chat);
        if (settle(link, false))
                progress(link);
        chat_release(link->chat);
        link->pumping = false;
}

static void on_ended(void *ctx, const struct cause *why)
{
        struct link *link = ctx;
        struct cause cause = *why;
        bool talking = !link->plan.ssl || link->info.version[0];

        if (link->over || link->closed)
                return;
        if (cause.code == CAUSE_NONE && talking) {
                link->chat->class->closed(link->chat);
                cause = link->chat->state == CHAT_FAILED ? *link->chat->cause : cause;
        }
        if (cause.code == CAUSE_NONE && link->chat->state != CHAT_ENDED)
                cause_set(&cause, CAUSE_CLOSED, "%s closed the connection", link->plan.host);
        explain_silence(link, &cause);
        explain_refusal(link, &cause);
        end_with(link, &cause, "");
}

static const struct connection_user connection_user = {
        .connected = on_connected,
        .secured = on_secured,
        .received = on_received,
        .drained = on_drained,
        .ended = on_ended,
};

/* ---- opening ---- */

static void start(struct link *link)
{
        struct connection_request request = {
                .host = link->plan.host,
                .port = link->plan.port,
                .timeout_seconds = link->plan.timeout_seconds,
        };

        link->counted = true;
        place_take(link->host);
        link->connection = connection_open(&request, &connection_user, link);
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

static void trace_line(void *ctx, char direction, const char *line, size_t len)
{
        struct link *link = ctx;
        struct subject subject = subject_of(link);
        char text[1024];

        (void)printable_copy(text, sizeof text, line, len);
        log_about(&subject, LOG_INFO, NULL, "%s: %c %s", link->plan.account, direction, text);
}

static void trace_step(void *ctx, const char *from, const char *to)
{
        struct link *link = ctx;
        struct subject subject = subject_of(link);

        log_about(&subject, LOG_INFO, NULL, "%s: %s -> %s", link->plan.account, from, to);
}

struct link *link_open(const struct link_plan *plan, struct chat *chat, const struct link_user *user, void *ctx)
{
        struct link *link = new_object(struct link);

        link->plan = *plan;
        link->plan.account = copy_text(plan->account ? plan->account : "");
        link->plan.host = copy_text(plan->host);
        link->plan.client_certificate = copy_text(plan->client_certificate);
        link->chat = chat;
        link->user = user;
        link->ctx = ctx;
        link->generation = trust_generation();
        link->times = (struct connection_times){ -1, -1, -1 };
        if (plan->debug) {
                chat->trace = trace_line;
                chat->traced_step = trace_step;
                chat->trace_ctx = link;
        }
        link->host = host_hold(link->plan.host);
        link->previous = links.last;
        *(links.last ? &links.last->next : &links.all) = link;
        links.last = link;
        if (place_is_free(link->host) || link->plan.host[0] == '/')
                start(link);
        else
                links.waiting++;
        return link;
}

struct chat *link_chat(struct link *link)
{
        return link->chat;
}

void link_pause(struct link *link, bool paused)
{
        if (link->paused == paused || !link->connection)
                return;
        link->paused = paused;
        arm(link, false);
        connection_pause(link->connection, paused);
}

void link_quit(struct link *link)
{
        if (!link->connection || link->over || link->closed)
                return;
        if (link->chat->state != CHAT_READY) {
                struct cause none = { 0 };
                end_with(link, &none, "");
                return;
        }
        link->chat->class->quit(link->chat);
        link_pump(link);
}
