/* SPDX-License-Identifier: MIT */
/* Fetching and marking; see fetch.h. What arrives meanwhile is body.c's. */
#include "daemon/imap/fetch.h"

#include "daemon/imap/command.h"
#include "daemon/imap/fetch_items.h"
#include "daemon/imap/work.h"

/* PEEK: fetching alone sets no \Seen; that follows when the message is on disk. UID is asked for although
 * it is implied (RFC 3501, 6.4.8), since some servers leave it out. */
static const char fetch_what[] = " (UID BODY.PEEK[])", fetch_dated[] = " (UID INTERNALDATE BODY.PEEK[])";
static const char check_what[] = " (UID FLAGS)";

/* ---- the operations ---- */

static void finished_fetch(struct imap_session *session)
{
        session->config.user->fetched(session->config.ctx);
}

static void finished_mark(struct imap_session *session)
{
        session->config.user->marked(session->config.ctx);
}

void imap_fetch(struct engine *engine, const struct mailbox_entry *entries, size_t count)
{
        struct imap_session *session = imap_session_of(engine);

        imap_work_take(session, entries, count);
        session->finished = finished_fetch;
        engine_go(engine, count ? IMAP_FETCH : IMAP_NOTHING);
}

void imap_fetch_marking(struct engine *engine, const struct mailbox_entry *entries, size_t count,
                        const struct mailbox_entry *seen, size_t seen_count)
{
        struct imap_session *session = imap_session_of(engine);

        free(session->beside.items);
        session->beside.items = new_zeroed(seen_count + 1, sizeof *session->beside.items);
        session->beside.count = seen_count;
        session->beside.next = 0;
        if (seen_count)
                memcpy(session->beside.items, seen, seen_count * sizeof *seen);
        imap_fetch(engine, entries, count);
}

void imap_say_fetch(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);
        const struct mailbox_user *user = session->config.user;

        imap_beside_say(session);
        imap_work_say(session, "FETCH",
                      user->wants_dates && user->wants_dates(session->config.ctx) ? fetch_dated : fetch_what);
}

/* Why nothing came of a message that was asked for by itself. */
static void why_refused(const struct imap_session *session, uint32_t uid, const struct imap_reply *reply,
                        struct cause *why)
{
        bool shown = reply->words.len && !imap_echoes_secret(session, reply->words.bytes, reply->words.len);
        int len = !shown ? 0 : reply->words.len < 200 ? (int)reply->words.len : 200;

        if (reply->status == IMAP_OK)
                (void)cause_set(why, CAUSE_SERVER_BUSY,
                                "the server sends nothing of message UID %u, and says that all is well", uid);
        else
                (void)cause_set(why, CAUSE_SERVER_BUSY, "the server refused to hand out message UID %u%s%.*s",
                                uid, shown ? ": " : "", len, shown ? reply->words.bytes : "");
}

/* The user notes that the message is missing and tries again at another poll. It may fail to, on a full
 * disk: then the session ends, and nothing is passed over unnoticed. */
static void refuse(struct imap_session *session, size_t item, const struct imap_reply *reply)
{
        struct imap_wanted *wanted = &session->work.items[item];
        struct mailbox_entry entry = { .uid = wanted->uid, .size = wanted->size, .seen = wanted->seen };
        struct cause why;

        wanted->state = WANTED_REFUSED;
        session->work.refused++;
        why_refused(session, wanted->uid, reply, &why);
        if (session->config.user->refused(session->config.ctx, &entry, &why) != 0)
                (void)engine_fail_with(&session->engine, &why);
}

/* Nothing came of this one yet, and nothing more will by what was asked. */
static void settle_one(struct imap_session *session, size_t item, const struct imap_reply *reply)
{
        struct imap_work *work = &session->work;

        if (work->items[item].state != WANTED || imap_part_awaits(session, item))
                return;
        if (work->singly) {
                refuse(session, item, reply);
        } else {
                work->items[item].state = WANTED_AGAIN;
                work->again++;
        }
}

/* A command was answered: whatever the server's words are, what counts is which of its messages have come. */
static void settle(struct imap_session *session, const struct imap_reply *reply)
{
        const struct imap_flight *flight = &session->answered;
        ssize_t parted = flight->part_of ? imap_work_find(session, flight->part_of) : -1;

        for (size_t i = flight->first; i < flight->until && session->engine.state != ENGINE_FAILED; i++)
                settle_one(session, i, reply);
        imap_parts_settle(session);
        if (parted >= 0 && session->engine.state != ENGINE_FAILED)
                settle_one(session, (size_t)parted, reply);
}

/* A BAD to one command is about that command; everything else (BYE, a lost line) is about the session. */
static bool is_answer(const struct imap_reply *reply)
{
        return reply->status == IMAP_OK || reply->status == IMAP_NO || reply->status == IMAP_REFUSED_AS_BAD;
}

/* Those refused that are not listed any more have gone, where the server has told of as many that it expunged
 * (RFC 3501, 7.4.1); else it denies what it still counts. */
static void tell_gone(struct imap_session *session)
{
        const struct imap_work *work = &session->work;
        uint32_t denied = 0;

        for (size_t i = 0; i < work->count; i++)
                denied += work->items[i].state == WANTED_REFUSED;
        bool told = denied <= session->expunged;
        for (size_t i = 0; i < work->count; i++) {
                struct mailbox_entry entry = { .uid = work->items[i].uid };
                if (work->items[i].state == WANTED_REFUSED)
                        session->config.user->gone(session->config.ctx, &entry, told);
        }
        session->expunged -= told ? denied : 0;
}

/* When it cannot be learned which are listed, or not be read, they are taken to be there. */
static int checked(struct imap_session *session, const struct imap_reply *reply)
{
        if (imap_served(reply) && imap_work_say_refused(session, check_what))
                return STEP_SAME;
        if (imap_served(reply) && !session->work.uncertain)
                tell_gone(session);
        return imap_operation_done(session, finished_fetch);
}

/* Second round, once the window is empty: one message a server cannot hand out may make it refuse a whole
 * command, and must not keep the others of it away. */
static void say_singly(struct imap_session *session)
{
        struct imap_work *work = &session->work;

        if (!session->in_flight && work->again && !work->singly) {
                work->singly = true;
                work->next = 0;
                imap_work_say(session, "FETCH", fetch_what);
        }
}

/* A refusal is told with `false` and ends nothing: the fetching goes on, and what becomes of the marks is
 * for the user to decide. */
static void beside_heard(struct imap_session *session, const struct imap_reply *reply)
{
        const struct imap_flight *flight = &session->answered;

        session->config.user->marked_beside(session->config.ctx, session->beside.items + flight->first,
                                            flight->until - flight->first, imap_served(reply));
}

/* After each tagged answer; the bodies came before it. Three rounds: all in sets, what is left one by one,
 * and a check whether what was refused is still there. */
int imap_bodies_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);
        struct imap_work *work = &session->work;

        if (!is_answer(reply))
                return imap_refused(session, reply, CAUSE_SERVER_BUSY, "to hand out messages");
        if (work->checking)
                return checked(session, reply);
        if (session->answered.beside)
                beside_heard(session, reply);
        else
                settle(session, reply);
        if (engine->state == ENGINE_FAILED)
                return STEP_FAILED;
        imap_beside_say(session);
        imap_work_say(session, "FETCH", fetch_what);
        say_singly(session);
        if (session->in_flight)
                return STEP_SAME;
        if (!work->refused)
                return imap_operation_done(session, finished_fetch);
        work->checking = true;
        work->next = 0;
        (void)imap_work_say_refused(session, check_what);
        return STEP_SAME;
}

/* No bodies come: commands as long as they may be. */
static void take_without_sizes(struct imap_session *session, const struct mailbox_entry *entries,
                               size_t count)
{
        imap_work_take(session, entries, count);
        for (size_t i = 0; i < session->work.count; i++)
                session->work.items[i].size = 0;
}

/* Three fields of messages too large to be fetched: enough for the note that stands for one in the inbox. */
void imap_heads(struct engine *engine, const struct mailbox_entry *entries, size_t count)
{
        struct imap_session *session = imap_session_of(engine);

        take_without_sizes(session, entries, count);
        session->finished = finished_fetch;
        engine_go(engine, count ? IMAP_HEADS : IMAP_NOTHING);
}

void imap_say_heads(struct engine *engine)
{
        imap_work_say(imap_session_of(engine), "FETCH",
                      " (UID BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT)])");
}

int imap_heads_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);

        if (!is_answer(reply))
                return imap_refused(session, reply, CAUSE_SERVER_BUSY, "to show headers");
        for (size_t i = session->answered.first; i < session->answered.until && !imap_served(reply); i++)
                if (session->work.items[i].state == WANTED)
                        refuse(session, i, reply);
        if (engine->state == ENGINE_FAILED)
                return STEP_FAILED;
        imap_say_heads(engine);
        return session->in_flight ? (int)STEP_SAME : imap_operation_done(session, finished_fetch);
}

/* Only messages that are on disk here come to this: with MARK_DELETED the server's copy ends. */
void imap_mark(struct engine *engine, const struct mailbox_entry *entries, size_t count,
               enum mailbox_mark mark)
{
        struct imap_session *session = imap_session_of(engine);

        take_without_sizes(session, entries, count);
        session->mark = mark;
        session->finished = finished_mark;
        engine_go(engine, count ? IMAP_STORE : IMAP_NOTHING);
}

void imap_say_store(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);

        imap_work_say(session, "STORE",
                      session->mark == MARK_SEEN ? " +FLAGS.SILENT (\\Seen)" : " +FLAGS.SILENT (\\Deleted)");
}

/* One that cannot be flagged keeps nobody from the others: the user tries again at another time. */
static void not_marked(struct imap_session *session, const struct imap_reply *reply, const char *what)
{
        bool shown = reply->words.len && !imap_echoes_secret(session, reply->words.bytes, reply->words.len);
        int len = !shown ? 0 : reply->words.len < 200 ? (int)reply->words.len : 200;
        struct cause why;

        (void)cause_set(&why, CAUSE_MAILBOX, "the server refused %s%s%.*s", what, shown ? ": " : "", len,
                        shown ? reply->words.bytes : "");
        for (size_t i = session->answered.first; i < session->answered.until; i++) {
                struct mailbox_entry entry = { .uid = session->work.items[i].uid };
                session->config.user->not_marked(session->config.ctx, &entry, &why);
        }
}

/* One message of the set may be the reason for the refusal: each is tried by itself in the next round. */
static void mark_singly(struct imap_session *session)
{
        for (size_t i = session->answered.first; i < session->answered.until; i++) {
                session->work.items[i].state = WANTED_AGAIN;
                session->work.again++;
        }
}

int imap_store_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);
        struct imap_work *work = &session->work;

        if (!is_answer(reply))
                return imap_refused(session, reply, CAUSE_MAILBOX, "to flag messages");
        if (!imap_served(reply) && work->singly)
                not_marked(session, reply, "to flag messages");
        else if (!imap_served(reply))
                mark_singly(session);
        imap_say_store(engine);
        if (!session->in_flight && work->again && !work->singly) {
                work->singly = true;
                work->next = 0;
                imap_say_store(engine);
        }
        if (session->in_flight)
                return STEP_SAME;
        /* UID EXPUNGE only (RFC 4315, 2.1): a plain EXPUNGE would remove what others have flagged as well. */
        if (session->mark == MARK_DELETED && session->info.can_expunge_uid) {
                work->singly = false;
                work->next = 0;
                return IMAP_EXPUNGE;
        }
        return imap_operation_done(session, finished_mark);
}

void imap_say_expunge(struct engine *engine)
{
        imap_work_say(imap_session_of(engine), "EXPUNGE", "");
}

int imap_expunge_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);

        if (!is_answer(reply))
                return imap_refused(session, reply, CAUSE_MAILBOX, "to delete messages");
        if (!imap_served(reply))
                not_marked(session, reply, "to delete messages");
        imap_say_expunge(engine);
        return session->in_flight ? (int)STEP_SAME : imap_operation_done(session, finished_mark);
}

/* An operation without messages ends by way of the server too: its outcome never comes from inside the call
 * that asked for it, and a server that is gone is noticed. */
int imap_nothing_heard(struct engine *engine, const void *reply)
{
        return imap_operation_ends(engine, reply, "to go on", imap_session_of(engine)->finished);
}
