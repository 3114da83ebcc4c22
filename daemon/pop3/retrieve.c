/* SPDX-License-Identifier: MIT */
/* The operations of a POP3 session; see retrieve.h. */
#include "daemon/pop3/retrieve.h"

void pop3_retrieve_clear(struct pop3_session *session)
{
        free(take(session->sizes));
        free(take(session->batch));
        free(take(session->entries));
        buf_free(&session->head);
        session->batch_count = 0;
        session->lines = 0;
        session->uidl_said = false;
        session->count = session->next = session->answered = 0;
        session->bytes_ahead = 0;
}

/* A number at the front, then a blank or the end; moves *at behind both. */
static bool take_number(const char **at, uint64_t max, uint64_t *out)
{
        uint64_t number = 0;
        const char *c = *at;

        for (; *c >= '0' && *c <= '9'; c++)
                if (__builtin_mul_overflow(number, 10u, &number) ||
                    __builtin_add_overflow(number, (uint64_t)(*c - '0'), &number) || number > max)
                        return false;
        if (c == *at || (*c && *c != ' '))
                return false;
        while (*c == ' ')
                c++;
        *at = c;
        *out = number;
        return true;
}

/* ---- STAT ---- */

static void finished_open(struct pop3_session *session)
{
        struct mailbox_facts facts = { .exists = session->exists, .can_expunge_uid = true };

        session->config.user->opened(session->config.ctx, &facts);
}

void pop3_open(struct chat *chat, const char *folder unused_arg, bool read_only unused_arg)
{
        chat_go(chat, POP3_STAT); /* there is one mailbox, and it can be written */
}

void pop3_say_stat(struct chat *chat)
{
        pop3_say(pop3_session_of(chat), "STAT");
}

int pop3_stat_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;
        const char *at = said->words;
        uint64_t count;

        if (said->status != POP3_OK)
                return pop3_refused(session, said, CAUSE_SERVER_BUSY, "to look into the mailbox");
        if (!take_number(&at, LIMIT_LISTED, &count))
                return chat_fail(chat, CAUSE_PROTOCOL, "the server's answer to STAT cannot be read: %.80s",
                                 said->words);
        session->exists = (uint32_t)count;
        return pop3_operation_done(session, finished_open);
}

/* ---- LIST and UIDL ---- */

static void finished_list(struct pop3_session *session)
{
        session->config.user->listed_all(session->config.ctx);
}

static void give_batch(struct pop3_session *session)
{
        size_t count = session->batch_count;

        session->batch_count = 0;
        if (count)
                session->config.user->listed(session->config.ctx, session->batch, count);
}

void pop3_list(struct chat *chat, uint32_t after unused_arg, bool unseen_only unused_arg)
{
        struct pop3_session *session = pop3_session_of(chat);

        session->sizes = new_zeroed((size_t)session->exists + 1, sizeof *session->sizes);
        session->batch = new_zeroed(POP3_BATCH, sizeof *session->batch);
        chat_go(chat, POP3_LIST);
}

static void unreadable_line(struct pop3_session *session, const char *text)
{
        (void)chat_fail(&session->chat, CAUSE_PROTOCOL, "a line of the server's list cannot be read: %.100s",
                        text);
}

/* The message number at the front of a line of a list; 0 when the line is not as it must be. */
static uint32_t listed_number(struct pop3_session *session, const char **at)
{
        uint64_t number;

        if (session->lines++ == session->exists || !take_number(at, session->exists, &number))
                return 0;
        return (uint32_t)number;
}

static void list_line(struct pop3_session *session, const char *text, size_t len unused_arg)
{
        const char *at = text;
        uint32_t number = listed_number(session, &at);
        uint64_t size;

        if (number && take_number(&at, UINT64_MAX, &size))
                session->sizes[number] = size;
        else
                unreadable_line(session, text);
}

/* RFC 1939 section 7: 1 to 70 characters from ! to ~. */
static size_t uidl_length(const char *text)
{
        size_t len = 0;

        while (text[len] >= 0x21 && text[len] <= 0x7e)
                len++;
        return text[len] == '\0' && len <= LIMIT_UIDL ? len : 0;
}

static void uidl_line(struct pop3_session *session, const char *text, size_t len unused_arg)
{
        const char *at = text;
        uint32_t number = listed_number(session, &at);
        size_t length = number ? uidl_length(at) : 0;

        if (!length) {
                unreadable_line(session, text);
                return;
        }
        struct mailbox_entry *entry = &session->batch[session->batch_count++];
        *entry = (struct mailbox_entry){ .uid = number, .size = session->sizes[number] };
        memcpy(entry->uidl, at, length);
        if (session->batch_count == POP3_BATCH)
                give_batch(session);
}

void pop3_say_list(struct chat *chat)
{
        struct pop3_session *session = pop3_session_of(chat);

        pop3_say(session, "LIST");
        session->uidl_said = session->capabilities.pipelining;
        if (session->uidl_said)
                pop3_say(session, "UIDL");
}

int pop3_list_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;

        if (said->status == POP3_END)
                return POP3_UIDL;
        if (said->status != POP3_OK)
                return pop3_refused(session, said, CAUSE_SERVER_BUSY, "to list the messages");
        session->line = list_line;
        session->lines = 0;
        return STEP_SAME;
}

void pop3_say_uidl(struct chat *chat)
{
        struct pop3_session *session = pop3_session_of(chat);

        if (!session->uidl_said)
                pop3_say(session, "UIDL");
}

int pop3_uidl_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;

        if (said->status == POP3_END) {
                give_batch(session);
                return pop3_operation_done(session, finished_list);
        }
        if (said->status != POP3_OK) {
                enum cause_code code = pop3_cause_of_code(session, said->words);
                return chat_fail(
                        chat, code != CAUSE_NONE ? code : CAUSE_PROTOCOL,
                        "the server refuses UIDL, without which messages cannot be told apart: %.200s",
                        said->words);
        }
        session->line = uidl_line;
        session->lines = 0;
        return STEP_SAME;
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

static int stored(struct pop3_session *session, int result)
{
        return result == 0 ? (int)STEP_SAME
                           : chat_fail(&session->chat, CAUSE_STORAGE,
                                       "a message that arrived could not be stored");
}

void pop3_fetch(struct chat *chat, const struct mailbox_entry *entries, size_t count)
{
        struct pop3_session *session = pop3_session_of(chat);

        take_entries(session, entries, count);
        session->finished = finished_fetch;
        chat_go(chat, count ? POP3_RETR : POP3_NOTHING);
}

/* Says commands until the window is full; waits until half of it is free, so that they leave together. Two are
 * always in flight, however large: the next message begins where this one ends. */
static void say_window(struct pop3_session *session, const char *verb, const char *rest, uint64_t most_bytes)
{
        unsigned window = session->capabilities.pipelining ? POP3_WINDOW : 1;

        if (session->in_flight > 1 &&
            (session->in_flight > window / 2 || session->bytes_ahead > most_bytes / 2))
                return;
        while (session->next < session->count && session->in_flight < window &&
               (session->in_flight < 2 || session->bytes_ahead < most_bytes) &&
               session->chat.state != CHAT_FAILED) {
                session->bytes_ahead += session->entries[session->next].size;
                pop3_say(session, "%s %u%s", verb, session->entries[session->next++].uid, rest);
        }
}

void pop3_say_retr(struct chat *chat)
{
        say_window(pop3_session_of(chat), "RETR", "", POP3_BYTES_AHEAD);
}

/* The present message is through, or has gone: the next. */
static int next_message(struct pop3_session *session)
{
        session->bytes_ahead -= session->entries[session->answered++].size;
        pop3_say_retr(&session->chat);
        return session->answered < session->count ? (int)STEP_SAME
                                                  : pop3_operation_done(session, finished_fetch);
}

int pop3_retr_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;

        if (said->status == POP3_OK) {
                session->body = true;
                session->unstuff = (struct pop3_unstuff){ .state = AT_START };
                chat->phrase = "receiving a message";
                return stored(session, session->config.user->message_begin(
                                               session->config.ctx, &session->entries[session->answered], 0));
        }
        if (said->status == POP3_ERR && pop3_cause_of_code(session, said->words) != CAUSE_NONE)
                return pop3_refused(session, said, CAUSE_SERVER_BUSY, "to hand out a message");
        return next_message(session);
}

static int piece_heard(struct pop3_session *session, const struct pop3_input *piece)
{
        size_t room = session->head.max - session->head.len;

        if (session->chat.step == POP3_TOP)
                return buf_append(&session->head, piece->bytes, piece->len < room ? piece->len : room);
        return session->config.user->message_piece(session->config.ctx, piece->bytes, piece->len);
}

static int end_heard(struct pop3_session *session)
{
        const struct mailbox_user *user = session->config.user;

        if (session->chat.step != POP3_TOP)
                return user->message_end(session->config.ctx);
        return user->head(session->config.ctx, &session->entries[session->answered],
                          (const char *)buf_bytes(&session->head), session->head.len);
}

void pop3_body_heard(struct pop3_session *session, struct pop3_input *input)
{
        struct chat *chat = &session->chat;
        struct pop3_input piece;

        while (chat->state != CHAT_FAILED && pop3_unstuff_next(&session->unstuff, input, &piece))
                (void)stored(session, piece_heard(session, &piece));
        if (chat->state == CHAT_FAILED || !session->unstuff.ended)
                return;
        struct pop3_reply end = { .status = POP3_END, .words = "" };
        session->body = false;
        chat->phrase = chat->steps[chat->step].phrase;
        if (stored(session, end_heard(session)) != STEP_FAILED)
                chat_hear(chat, &end);
}

/* ---- TOP ---- */

void pop3_heads(struct chat *chat, const struct mailbox_entry *entries, size_t count)
{
        struct pop3_session *session = pop3_session_of(chat);

        take_entries(session, entries, count);
        for (size_t i = 0; i < count; i++)
                session->entries[i].size = LIMIT_HEAD; /* that much is to come */
        session->finished = finished_fetch;
        chat_go(chat, count && session->capabilities.top ? POP3_TOP : POP3_NOTHING);
}

void pop3_say_top(struct chat *chat)
{
        say_window(pop3_session_of(chat), "TOP", " 0", POP3_BYTES_AHEAD);
}

int pop3_top_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;

        if (said->status == POP3_OK) {
                session->body = true;
                session->unstuff = (struct pop3_unstuff){ .state = AT_START };
                buf_clear(&session->head);
                return STEP_SAME;
        }
        session->bytes_ahead -= session->entries[session->answered++].size; /* one that has none is no matter */
        pop3_say_top(chat);
        return session->answered < session->count ? (int)STEP_SAME : pop3_operation_done(session, finished_fetch);
}

/* ---- DELE ---- */

static void finished_mark(struct pop3_session *session)
{
        session->config.user->marked(session->config.ctx);
}

void pop3_mark(struct chat *chat, const struct mailbox_entry *entries, size_t count, enum mailbox_mark mark)
{
        struct pop3_session *session = pop3_session_of(chat);
        bool deletes = mark == MARK_DELETED && count;

        take_entries(session, entries, count);
        session->finished = finished_mark;
        session->deletes |= deletes;
        chat_go(chat, deletes ? POP3_DELE : POP3_NOTHING); /* POP3 has no flags */
}

void pop3_say_dele(struct chat *chat)
{
        say_window(pop3_session_of(chat), "DELE", "", UINT64_MAX);
}

/* An -ERR says that it is deleted already; if not, it is listed again next time. */
int pop3_dele_heard(struct chat *chat, const void *reply unused_arg)
{
        struct pop3_session *session = pop3_session_of(chat);

        session->answered++;
        pop3_say_dele(chat);
        return session->answered < session->count ? (int)STEP_SAME
                                                  : pop3_operation_done(session, finished_mark);
}

/* ---- NOOP ---- */

void pop3_say_nothing(struct chat *chat)
{
        pop3_say(pop3_session_of(chat), "NOOP");
}

int pop3_nothing_heard(struct chat *chat, const void *reply unused_arg)
{
        struct pop3_session *session = pop3_session_of(chat);

        return pop3_operation_done(session, session->finished);
}
