/* SPDX-License-Identifier: MIT */
/* STAT, LIST and UIDL; see list.h. */
#include "daemon/pop3/list.h"

#include "common/names.h"
#include "daemon/sha256.h"

/* Entries of four bytes that are held for the first messages; doubled from there on. */
enum { SIZES_FIRST = 1024 };

void pop3_list_clear(struct pop3_session *session)
{
        free(session->listing.sizes);
        free(session->listing.batch);
        session->listing = (struct pop3_listing){ 0 };
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

/* A number at the front, then blanks or the end; moves *at behind both. */
static bool take_number(const char **at, uint64_t max, uint64_t *out)
{
        uint64_t number = 0;
        const char *c = *at;

        while (is_blank(*c))
                c++;
        const char *digits = c;
        for (; *c >= '0' && *c <= '9'; c++)
                if (__builtin_mul_overflow(number, 10u, &number) ||
                    __builtin_add_overflow(number, (uint64_t)(*c - '0'), &number) || number > max)
                        return false;
        if (c == digits || (*c && !is_blank(*c)))
                return false;
        while (is_blank(*c))
                c++;
        *at = c;
        *out = number;
        return true;
}

/* ---- STAT ---- */

/* Deletion is by message here (DELE), so it counts as one that can expunge single messages. */
static void finished_open(struct pop3_session *session)
{
        struct mailbox_info info = { .exists = session->exists, .can_expunge_uid = true };

        session->config.user->opened(session->config.ctx, &info);
}

void pop3_open(struct engine *engine, const char *folder unused_arg, bool read_only unused_arg)
{
        engine_go(engine, POP3_STAT); /* there is one mailbox, and it can be written */
}

void pop3_say_stat(struct engine *engine)
{
        pop3_say(pop3_session_of(engine), "STAT");
}

/* How many there are is learned from the lists. */
int pop3_stat_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;
        const char *at = said->words;
        uint64_t count = 0;

        if (said->status != POP3_OK)
                return pop3_refused(session, said, CAUSE_SERVER_BUSY, "to look into the mailbox");
        (void)take_number(&at, LIMIT_LISTED, &count);
        session->exists = (uint32_t)count;
        return pop3_operation_done(session, finished_open);
}

/* ---- LIST and UIDL ---- */

static void finished_list(struct pop3_session *session)
{
        pop3_list_clear(session); /* it may be large, and the session go on for long */
        session->config.user->listed_all(session->config.ctx);
}

/* The count is cleared first, for the user may end the session in the call. */
static void give_batch(struct pop3_session *session)
{
        struct pop3_listing *listing = &session->listing;
        size_t count = listing->batch_count;

        listing->batch_count = 0;
        if (count)
                session->config.user->listed(session->config.ctx, listing->batch, count);
}

void pop3_list(struct engine *engine, uint32_t after unused_arg, bool unseen_only unused_arg)
{
        struct pop3_session *session = pop3_session_of(engine);

        pop3_list_clear(session);
        session->listing.batch = new_zeroed(POP3_BATCH, sizeof *session->listing.batch);
        engine_go(engine, POP3_LIST);
}

/* The message number at the front of a line of a list; 0 when the line is to be passed over. */
static uint32_t listed_number(struct pop3_session *session, const char **at)
{
        struct pop3_listing *listing = &session->listing;
        uint64_t number;

        if (++listing->lines > LIMIT_LISTED) {
                (void)engine_fail(&session->engine, CAUSE_PROTOCOL, "the server lists more than %d messages",
                                  LIMIT_LISTED);
                return 0;
        }
        if (!take_number(at, LIMIT_LISTED, &number) || !number) {
                listing->unreadable++;
                return 0;
        }
        return (uint32_t)number;
}

/* A server that names a few high numbers only must not make us hold as much as one that names all. */
static bool has_place(struct pop3_session *session, uint32_t number)
{
        struct pop3_listing *listing = &session->listing;
        size_t likely = session->exists > listing->lines ? session->exists : listing->lines;

        if (number <= listing->size)
                return true;
        if (number > likely + SIZES_FIRST)
                return false;
        size_t size = listing->size ? 2 * listing->size : SIZES_FIRST;
        if (size < number)
                size = number;
        if (size > LIMIT_LISTED)
                size = LIMIT_LISTED;
        listing->sizes = new_resized(listing->sizes, size, sizeof *listing->sizes);
        memset(listing->sizes + listing->size, 0, (size - listing->size) * sizeof *listing->sizes);
        listing->size = size;
        if (session->config.user->holds)
                session->config.user->holds(session->config.ctx, size * sizeof *listing->sizes);
        return true;
}

/* Sizes are kept by message number until UIDL names the messages; one that is missing is 0, and one beyond
 * 32 bits the most. */
static void list_line(struct pop3_session *session, const char *text, size_t len unused_arg)
{
        struct pop3_listing *listing = &session->listing;
        const char *at = text;
        uint32_t number = listed_number(session, &at);
        uint64_t size;

        if (number && take_number(&at, UINT64_MAX, &size) && has_place(session, number)) {
                listing->sizes[number - 1] = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
                if (number > listing->count)
                        listing->count = number;
        }
}

/* RFC 1939 section 7: 1 to 70 characters from ! to ~. */
static bool is_regular(const char *text, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (text[i] < 0x21 || text[i] > 0x7e)
                        return false;
        return len > 0 && len <= LIMIT_UIDL;
}

/* An id that is against the rules is known by its digest: "#" and 64 digits, which fit where a regular one
 * fits and are safe to store and to show. */
static void write_uidl(char to[sizeof((struct mailbox_entry *)NULL)->uidl], const char *text, size_t len)
{
        uint8_t digest[SHA256_SIZE];

        if (is_regular(text, len)) {
                memcpy(to, text, len);
                return;
        }
        sha256_of(text, len, digest);
        *to = '#';
        hex_print(digest, sizeof digest, to + 1);
}

/* Message numbers hold for this session only (RFC 1939, 5); what is remembered is the id. */
static void uidl_line(struct pop3_session *session, const char *text, size_t len)
{
        struct pop3_listing *listing = &session->listing;
        const char *at = text;
        uint32_t number = listed_number(session, &at);
        size_t length = number ? len - (size_t)(at - text) : 0;

        while (length && is_blank(at[length - 1]))
                length--;
        if (!length) {
                listing->unreadable += number > 0;
                return;
        }
        struct mailbox_entry *entry = &listing->batch[listing->batch_count++];
        *entry = (struct mailbox_entry){ .uid = number,
                                         .size = number <= listing->count ? listing->sizes[number - 1] : 0 };
        write_uidl(entry->uidl, at, length);
        if (listing->batch_count == POP3_BATCH)
                give_batch(session);
}

/* With PIPELINING (RFC 2449, 6.6) both questions are on their way together. */
void pop3_say_list(struct engine *engine)
{
        struct pop3_session *session = pop3_session_of(engine);

        pop3_say(session, "LIST");
        session->listing.uidl_said = session->capabilities.pipelining;
        if (session->listing.uidl_said)
                pop3_say(session, "UIDL");
}

/* Three kinds come here: +OK, then lines by way of `line`, then the end of them. */
int pop3_list_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;

        if (said->status == POP3_END)
                return POP3_UIDL;
        if (said->status != POP3_OK)
                return pop3_refused(session, said, CAUSE_SERVER_BUSY, "to list the messages");
        session->line = list_line;
        session->listing.lines = 0;
        return STEP_SAME;
}

void pop3_say_uidl(struct engine *engine)
{
        struct pop3_session *session = pop3_session_of(engine);

        if (!session->listing.uidl_said)
                pop3_say(session, "UIDL");
}

/* Messages without an id: what LIST has and UIDL has not, or has in lines that cannot be read. */
static void tell_nameless(struct pop3_session *session)
{
        const struct pop3_listing *listing = &session->listing;
        unsigned left_out = listing->listed > listing->lines ? listing->listed - listing->lines : 0;

        if (session->config.user->nameless)
                session->config.user->nameless(session->config.ctx, left_out + listing->unreadable);
}

int pop3_uidl_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;

        if (said->status == POP3_END) {
                give_batch(session);
                tell_nameless(session);
                return pop3_operation_done(session, finished_list);
        }
        if (said->status != POP3_OK) {
                enum cause_code code = pop3_cause_of_code(session, said->words);
                return engine_fail(
                        engine, code != CAUSE_NONE ? code : CAUSE_PROTOCOL,
                        "the server refuses UIDL, without which messages cannot be told apart: %.200s",
                        said->words);
        }
        session->line = uidl_line;
        session->listing.listed = session->listing.lines;
        session->listing.lines = session->listing.unreadable = 0;
        return STEP_SAME;
}
