/* SPDX-License-Identifier: MIT */
/* Fetching and deleting in a POP3 session; see retrieve.h. */
#include "daemon/pop3/retrieve.h"

#include "daemon/pop3/list.h"

void pop3_retrieve_clear(struct pop3_session *session)
{
        pop3_list_clear(session);
        free(take(session->entries));
        buf_free(&session->head);
        session->count = session->next = session->answered = 0;
        session->bytes_ahead = 0;
        session->read_over = 0;
}

/* ---- RETR ---- */

static void finished_fetch(struct pop3_session *session)
{
        session->config.user->fetched(session->config.ctx);
}

static void take_entries(struct pop3_session *session, const struct mailbox_entry *entries, size_t count)
{
        session->entries = new_zeroed(count, sizeof *entries);
        session->count = count;
        if (count)
                memcpy(session->entries, entries, count * sizeof *entries);
}

/* What the user answers; over 0: nothing more of this message is handed to it. */
static int stored(struct pop3_session *session, int result)
{
        session->unwanted |= result > 0;
        return result >= 0 ? (int)STEP_SAME
                           : engine_fail(&session->engine, CAUSE_STORAGE,
                                         "a message that arrived could not be stored");
}

void pop3_fetch(struct engine *engine, const struct mailbox_entry *entries, size_t count)
{
        struct pop3_session *session = pop3_session_of(engine);

        take_entries(session, entries, count);
        session->finished = finished_fetch;
        engine_go(engine, count ? POP3_RETR : POP3_NOTHING);
}

/* Says commands until the window is full; waits until half of it is free, so that they leave together. Two
 * are always in flight, however large: the next message begins where this one ends. */
static void say_window(struct pop3_session *session, const char *verb, const char *rest, uint64_t most_bytes)
{
        unsigned window = session->capabilities.pipelining ? POP3_WINDOW : 1;

        if (session->in_flight > 1 &&
            (session->in_flight > window / 2 || session->bytes_ahead > most_bytes / 2))
                return;
        while (session->next < session->count && session->in_flight < window &&
               (session->in_flight < 2 || session->bytes_ahead < most_bytes) &&
               session->engine.state != ENGINE_FAILED) {
                session->bytes_ahead += session->entries[session->next].size;
                pop3_say(session, "%s %u%s", verb, session->entries[session->next++].uid, rest);
        }
}

void pop3_say_retr(struct engine *engine)
{
        say_window(pop3_session_of(engine), "RETR", "", POP3_BYTES_AHEAD);
}

/* The present message is through, or has gone: the next. */
static int next_message(struct pop3_session *session)
{
        session->bytes_ahead -= session->entries[session->answered++].size;
        pop3_say_retr(&session->engine);
        return session->answered < session->count ? (int)STEP_SAME
                                                  : pop3_operation_done(session, finished_fetch);
}

/* Whatever the server's reason is: it is one message's, until the user has had enough of them. */
static int refuse(struct pop3_session *session, const struct pop3_reply *reply)
{
        bool shown =
                reply->words[0] && !pop3_echoes_secret(&session->engine, reply->words, strlen(reply->words));
        const struct mailbox_entry *entry = &session->entries[session->answered];
        struct cause why;

        (void)cause_set(&why, CAUSE_SERVER_BUSY, "the server refused to hand out message %u%s%.200s",
                        entry->uid, shown ? ": " : "", shown ? reply->words : "");
        return session->config.user->refused(session->config.ctx, entry, &why) == 0
                       ? (int)STEP_SAME
                       : engine_fail_with(&session->engine, &why);
}

int pop3_retr_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;

        if (said->status == POP3_OK) {
                session->body = true;
                session->unwanted = false;
                session->unstuff =
                        (struct pop3_unstuff){ .state = AT_START,
                                               .expected = session->entries[session->answered].size };
                engine->phrase = "receiving a message";
                return stored(session, session->config.user->message_begin(
                                               session->config.ctx, &session->entries[session->answered], 0));
        }
        if (said->status == POP3_ERR && refuse(session, said) == STEP_FAILED)
                return STEP_FAILED;
        return next_message(session);
}

static int piece_heard(struct pop3_session *session, const struct pop3_input *piece)
{
        size_t room = session->head.max - session->head.len;

        engine_progress(&session->engine,
                        session->engine.step == POP3_TOP && piece->len > room ? room : piece->len);
        if (session->engine.step == POP3_TOP)
                return buf_append(&session->head, piece->bytes, piece->len < room ? piece->len : room);
        if (!session->unwanted)
                return session->config.user->message_piece(session->config.ctx, piece->bytes, piece->len);
        session->read_over += piece->len;
        if (session->read_over > MAILBOX_READ_OVER)
                (void)engine_fail(&session->engine, CAUSE_PROTOCOL,
                                  "the server sends more than %d bytes of messages over what was announced",
                                  MAILBOX_READ_OVER);
        return 0;
}

static int end_heard(struct pop3_session *session)
{
        const struct mailbox_user *user = session->config.user;

        if (session->engine.step != POP3_TOP)
                return session->unwanted ? 0 : user->message_end(session->config.ctx);
        return user->head(session->config.ctx, &session->entries[session->answered],
                          (const char *)buf_bytes(&session->head), session->head.len);
}

void pop3_body_heard(struct pop3_session *session, struct pop3_input *input)
{
        struct engine *engine = &session->engine;
        struct pop3_input piece;

        while (engine->state != ENGINE_FAILED && pop3_unstuff_next(&session->unstuff, input, &piece))
                (void)stored(session, piece_heard(session, &piece));
        if (engine->state == ENGINE_FAILED || !session->unstuff.ended)
                return;
        struct pop3_reply end = { .status = POP3_END, .words = "" };
        session->body = false;
        engine->phrase = engine->steps[engine->step].phrase;
        if (stored(session, end_heard(session)) != STEP_FAILED)
                engine_hear(engine, &end);
}

uint64_t pop3_body_left(const struct pop3_session *session)
{
        const struct pop3_unstuff *unstuff = &session->unstuff;

        return unstuff->expected > unstuff->taken ? unstuff->expected - unstuff->taken : 0;
}

/* ---- TOP ---- */

void pop3_heads(struct engine *engine, const struct mailbox_entry *entries, size_t count)
{
        struct pop3_session *session = pop3_session_of(engine);

        take_entries(session, entries, count);
        for (size_t i = 0; i < count; i++)
                session->entries[i].size = LIMIT_HEAD; /* that much is to come */
        session->finished = finished_fetch;
        engine_go(engine, count && session->capabilities.top ? POP3_TOP : POP3_NOTHING);
}

void pop3_say_top(struct engine *engine)
{
        say_window(pop3_session_of(engine), "TOP", " 0", POP3_BYTES_AHEAD);
}

int pop3_top_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;

        if (said->status == POP3_OK) {
                session->body = true;
                session->unstuff = (struct pop3_unstuff){ .state = AT_START };
                buf_clear(&session->head);
                return STEP_SAME;
        }
        session->bytes_ahead -=
                session->entries[session->answered++].size; /* one that has none is no matter */
        pop3_say_top(engine);
        return session->answered < session->count ? (int)STEP_SAME
                                                  : pop3_operation_done(session, finished_fetch);
}

/* ---- DELE ---- */

static void finished_mark(struct pop3_session *session)
{
        session->config.user->marked(session->config.ctx);
}

void pop3_mark(struct engine *engine, const struct mailbox_entry *entries, size_t count,
               enum mailbox_mark mark)
{
        struct pop3_session *session = pop3_session_of(engine);
        bool deletes = mark == MARK_DELETED && count;

        take_entries(session, entries, count);
        session->finished = finished_mark;
        session->deletes |= deletes;
        engine_go(engine, deletes ? POP3_DELE : POP3_NOTHING); /* POP3 has no flags */
}

void pop3_say_dele(struct engine *engine)
{
        say_window(pop3_session_of(engine), "DELE", "", UINT64_MAX);
}

/* One that the server keeps keeps nobody from the others: the user tries again at another time. */
int pop3_dele_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;
        struct cause why;

        if (said->status != POP3_OK) {
                (void)pop3_explain(session, said, CAUSE_MAILBOX, "to delete messages", &why);
                session->config.user->not_marked(session->config.ctx, &session->entries[session->answered],
                                                 &why);
        }
        session->answered++;
        pop3_say_dele(engine);
        return session->answered < session->count ? (int)STEP_SAME
                                                  : pop3_operation_done(session, finished_mark);
}

/* ---- NOOP ---- */

void pop3_say_nothing(struct engine *engine)
{
        pop3_say(pop3_session_of(engine), "NOOP");
}

int pop3_nothing_heard(struct engine *engine, const void *reply unused_arg)
{
        struct pop3_session *session = pop3_session_of(engine);

        return pop3_operation_done(session, session->finished);
}
