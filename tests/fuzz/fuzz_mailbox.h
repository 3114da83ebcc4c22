/* SPDX-License-Identifier: MIT */
/*
 * A hostile server of an incoming account. The input's first byte says how the session is set up and the
 * portions in which the rest arrives; whenever the session takes work, the next operation of a whole visit is
 * begun.
 */
#pragma once

#include "daemon/sasl/mechanism.h"
#include "fuzz.h"

struct visit {
        struct engine *engine;
        const struct mailbox_ops *operations;
        bool busy, idling, in_message;
        unsigned next;
        struct mailbox_entry entries[8];
        size_t count;
        uint64_t got;
};

static void visit_done(void *ctx)
{
        struct visit *visit = ctx;

        fuzz_must(visit->busy && !visit->in_message);
        visit->busy = false;
}
static void visit_not_opened(unused_arg void *ctx, unused_arg const struct cause *cause)
{
}

static void visit_opened(void *ctx, unused_arg const struct mailbox_info *info)
{
        visit_done(ctx);
}
static void visit_listed(void *ctx, const struct mailbox_entry *entries, size_t count)
{
        struct visit *visit = ctx;

        for (size_t i = 0; i < count && visit->count < count_of(visit->entries); i++) {
                fuzz_must(memchr(entries[i].uidl, '\0', sizeof entries[i].uidl));
                visit->entries[visit->count++] = entries[i];
        }
}
static int visit_begin(void *ctx, const struct mailbox_entry *entry, unused_arg uint64_t size)
{
        struct visit *visit = ctx;
        bool asked = false;

        for (size_t i = 0; i < visit->count; i++)
                asked |= visit->entries[i].uid == entry->uid;
        fuzz_must(asked);
        visit->in_message = true;
        return 0;
}
static int visit_piece(void *ctx, const uint8_t *bytes, size_t len)
{
        struct visit *visit = ctx;

        fuzz_must(visit->in_message);
        for (size_t i = 0; i < len; i++)
                visit->got += bytes[i]; /* reads them all */
        return 0;
}
static int visit_end(void *ctx)
{
        struct visit *visit = ctx;

        fuzz_must(visit->in_message);
        visit->in_message = false;
        return 0;
}
static int visit_refused(void *ctx, const struct mailbox_entry *entry, unused_arg const struct cause *why)
{
        (void)ctx;
        fuzz_must(entry->uid);
        return 0;
}
static void visit_gone(void *ctx, const struct mailbox_entry *entry, unused_arg bool told)
{
        (void)ctx;
        fuzz_must(entry->uid);
}
static void visit_not_marked(void *ctx, const struct mailbox_entry *entry, unused_arg const struct cause *why)
{
        visit_gone(ctx, entry, true);
}
static void visit_changed(unused_arg void *ctx)
{
}

static const struct mailbox_user visit_user = {
        .opened = visit_opened,
        .not_opened = visit_not_opened,
        .listed = visit_listed,
        .listed_all = visit_done,
        .message_begin = visit_begin,
        .message_piece = visit_piece,
        .message_end = visit_end,
        .refused = visit_refused,
        .gone = visit_gone,
        .fetched = visit_done,
        .not_marked = visit_not_marked,
        .marked = visit_done,
        .changed = visit_changed,
        .woken = visit_done,
        .idle_refused = visit_not_opened,
};

static void visit_begin_next(struct visit *visit)
{
        const struct mailbox_ops *operations = visit->operations;
        struct engine *engine = visit->engine;

        visit->busy = true;
        switch (visit->next++ % 7) {
        case 0:
                operations->open(engine, "INBOX", false);
                break;
        case 1:
                visit->count = 0;
                operations->list(engine, 0, false);
                break;
        case 2:
                operations->fetch(engine, visit->entries, visit->count);
                break;
        case 3:
                operations->mark(engine, visit->entries, visit->count, MARK_DELETED);
                break;
        case 4:
                visit->busy = operations->refresh != NULL;
                if (operations->refresh)
                        operations->refresh(engine);
                break;
        case 5:
                visit->busy = visit->idling = operations->idle != NULL;
                if (operations->idle)
                        operations->idle(engine);
                break;
        case 6:
                engine->class->quit(engine);
                break;
        }
}

/* What the owner of the connection does after each call. */
static void visit_look(struct visit *visit)
{
        static const struct engine_channel secure = { .tls = true };
        struct engine *engine = visit->engine;

        for (int turns = 0; turns < 10; turns++) {
                buf_clear(&engine->out);
                if (engine->class->drained && !engine_is_over(engine))
                        engine->class->drained(engine);
                if (engine->state == ENGINE_WANTS_TLS)
                        engine->class->secured(engine, &secure);
                else if (engine->state == ENGINE_READY && !visit->busy)
                        visit_begin_next(visit);
                else if (visit->idling && engine->state == ENGINE_TALKING && engine->idle)
                        visit->idling = false, visit->operations->wake(engine);
                else
                        return;
        }
}

/* A line, which is what an honest server would say between two commands, or a number of bytes. */
static size_t visit_portion(uint8_t how, const uint8_t *data, size_t size)
{
        static const size_t portions[] = { 0, 1, 7, 100 };
        size_t portion = portions[how >> 5 & 3];
        const uint8_t *lf = memchr(data, '\n', size);

        if (!portion)
                return lf ? (size_t)(lf - data) + 1 : size;
        return portion < size ? portion : size;
}

static void visit_play(struct visit *visit, bool tls, uint8_t how, const uint8_t *data, size_t size)
{
        struct engine_channel channel = { .tls = tls };
        struct engine *engine = visit->engine;

        engine->class->start(engine, &channel);
        visit_look(visit);
        for (size_t at = 0, len; at < size && engine->state != ENGINE_FAILED && engine->state != ENGINE_ENDED;
             at += len) {
                len = visit_portion(how, data + at, size - at);
                uint8_t *bytes = new_zeroed(len, 1); /* of exactly this size: reading beyond it is seen */
                memcpy(bytes, data + at, len);
                engine->class->received(engine, bytes, len);
                free(bytes);
                visit_look(visit);
        }
        if (engine->state != ENGINE_FAILED && engine->state != ENGINE_ENDED)
                engine->class->closed(engine);
        fuzz_must((engine->state == ENGINE_FAILED) == (engine->cause->code != CAUSE_NONE));
        engine->class->free(engine);
}

/* Bits of the first byte: 0-1 security, 2-4 mechanism, 5-6 portion. */
static struct signin visit_signin(uint8_t how)
{
        static const char *const mechanisms[] = { "",         "auto",        "plain",         "login",
                                                  "cram-md5", "scram-sha-1", "scram-sha-256", "xoauth2" };
        const char *mechanism = mechanisms[how >> 2 & 7];

        return (struct signin){ .user = mechanism[0] ? "u" : "",
                                .secret = "p",
                                .mechanism = mechanism[0] ? mechanism : "auto",
                                .allow_plaintext = true,
                                .service = "imap",
                                .host = "mail.example.net",
                                .port = 993 };
}
static bool visit_starttls(uint8_t how)
{
        return (how & 3) == 1;
}
static bool visit_tls(uint8_t how)
{
        return (how & 3) == 2;
}
