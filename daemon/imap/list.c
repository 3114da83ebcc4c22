/* SPDX-License-Identifier: MIT */
/*
 * The mailbox listing: UID, flags and size of every message above the cursor, handed on in
 * batches while it comes in. Only unseen ones: by SEARCH first, so that a large mailbox with
 * nothing new costs one line.
 */
#include "daemon/imap/command.h"
#include "daemon/imap/fetch.h"
#include "daemon/imap/fetch_items.h"
#include "daemon/imap/work.h"

/* The answer to SEARCH is one response and has to fit LIMIT_REPLY; a larger mailbox is listed and sieved
 * here. */
enum {
        SEARCHABLE = 100000,
        FOUND_MOST = 2 * SEARCHABLE, /* a set of a few bytes may stand for any number */
};

static const char list_what[] = " (UID FLAGS RFC822.SIZE)";

static void finished_list(struct imap_session *session)
{
        session->config.user->listed_all(session->config.ctx);
}

static void give_batch(struct imap_session *session)
{
        struct imap_listing *listing = &session->listing;
        size_t count = listing->count;

        listing->count = 0;
        if (count)
                session->config.user->listed(session->config.ctx, listing->batch, count);
}

static void give(struct imap_session *session, const struct mailbox_entry *entry)
{
        struct imap_listing *listing = &session->listing;

        listing->batch[listing->count++] = *entry;
        if (listing->count == IMAP_BATCH)
                give_batch(session);
}

/* The server would not list all: what is known to be there is told without a size, though it may be told
 * already. */
static void give_work(struct imap_session *session)
{
        for (size_t i = 0; i < session->work.count; i++) {
                struct mailbox_entry entry = { .uid = session->work.items[i].uid };
                give(session, &entry);
        }
}

/* Messages that the server says are there, and that are in no list of it. */
static uint32_t left_out(const struct imap_session *session)
{
        const struct imap_listing *listing = &session->listing;

        return listing->whole && listing->exists > listing->told ? listing->exists - listing->told : 0;
}

static int list_done(struct imap_session *session)
{
        give_batch(session);
        if (session->listing.whole && session->config.user->nameless)
                session->config.user->nameless(session->config.ctx, left_out(session));
        return imap_operation_done(session, finished_list);
}

void imap_list(struct engine *engine, uint32_t after, bool unseen_only)
{
        struct imap_session *session = imap_session_of(engine);

        session->news = false;
        session->expunged = 0;
        session->listing = (struct imap_listing){
                .after = after,
                .unseen_only = unseen_only,
                .filter_seen = unseen_only && session->info.exists > SEARCHABLE,
                .whole = !after && !unseen_only,
                .exists = session->info.exists,
                .batch = new_zeroed(IMAP_BATCH, sizeof(struct mailbox_entry)),
        };
        session->finished = finished_list;
        bool empty = session->info.counted && session->info.exists == 0;
        if (empty || after == UINT32_MAX)
                engine_go(engine, IMAP_NOTHING); /* "1:*" is an error in an empty mailbox for some servers */
        else if (unseen_only && !session->listing.filter_seen)
                engine_go(engine, IMAP_SEARCH);
        else
                engine_go(engine, IMAP_LIST);
}

void imap_list_these(struct engine *engine, const struct mailbox_entry *entries, size_t count)
{
        struct imap_session *session = imap_session_of(engine);

        session->expunged = 0;
        session->listing =
                (struct imap_listing){ .batch = new_zeroed(IMAP_BATCH, sizeof(struct mailbox_entry)) };
        imap_work_take(session, entries, count);
        for (size_t i = 0; i < session->work.count; i++) /* no bodies come: commands as long as they may be */
                session->work.items[i].size = 0;
        session->finished = finished_list;
        engine_go(engine, count ? IMAP_LIST : IMAP_NOTHING);
}

void imap_say_search(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);

        imap_say(session, "UID SEARCH UID %u:*%s", session->listing.after + 1,
                 session->listing.unseen_only ? " UNSEEN" : "");
}

/* One that the search has found; false fails the engine: too many. */
static bool found(struct imap_session *session, uint64_t uid)
{
        if (uid <= session->listing.after ||
            (session->work.count < FOUND_MOST && imap_work_add(session, (uint32_t)uid) == 0))
                return true;
        (void)engine_fail(&session->engine, CAUSE_PROTOCOL, "the server finds more than %d messages",
                          FOUND_MOST);
        return false;
}

void imap_found(struct imap_session *session, struct imap_cursor *cursor)
{
        uint64_t uid;

        if (session->engine.step != IMAP_SEARCH)
                return;
        while (imap_blanks(cursor), imap_number(cursor, UINT32_MAX, &uid))
                if (!found(session, uid))
                        return;
}

static bool set_number(const char **at, const char *end, uint32_t *out)
{
        const char *begin = *at;
        uint64_t number = 0;

        for (; *at < end && **at >= '0' && **at <= '9' && number <= UINT32_MAX; ++*at)
                number = number * 10 + (uint64_t)(**at - '0');
        *out = (uint32_t)number;
        return *at > begin && number <= UINT32_MAX;
}

/* The numbers of "2,10:11". False: it is none, or too much. */
static bool found_set(struct imap_session *session, const struct imap_text *set)
{
        const char *at = set->bytes, *end = at + set->len;

        while (at < end) {
                uint32_t first = 0, last = 0;
                if (!set_number(&at, end, &first))
                        return false;
                last = first;
                if (at < end && *at == ':' && (at++, !set_number(&at, end, &last)))
                        return false;
                uint64_t uid = first < last ? first : last, most = first < last ? last : first;
                if (uid <= session->listing.after) /* not looked at one by one */
                        uid = (uint64_t)session->listing.after + 1;
                for (; uid <= most; uid++)
                        if (!found(session, uid))
                                return false;
                if (at < end && *at++ != ',')
                        return false;
        }
        return true;
}

void imap_found_sets(struct imap_session *session, struct imap_cursor *cursor)
{
        struct imap_text word;

        if (session->engine.step != IMAP_SEARCH)
                return;
        if (cursor->at < cursor->end && *cursor->at == '(' && !imap_skip(cursor)) /* (TAG "a1") */
                return;
        while (imap_blanks(cursor), imap_word(cursor, &word)) {
                if (imap_is(&word, "UID"))
                        continue;
                bool all = imap_is(&word, "ALL");
                (void)imap_blanks(cursor);
                if (!all && !imap_skip(cursor))
                        return;
                if (all && (!imap_word(cursor, &word) || !found_set(session, &word))) {
                        (void)engine_fail(&session->engine, CAUSE_PROTOCOL,
                                          "the server's answer to SEARCH cannot be read");
                        return;
                }
        }
}

int imap_search_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);
        const struct imap_reply *said = reply;

        if (said->status != IMAP_OK)
                return imap_refused(session, said, CAUSE_SERVER_BUSY, "the list of messages");
        imap_work_sort(session);
        if (session->listing.refused)
                give_work(session);
        if (session->listing.told < session->work.count)
                session->listing.told = (uint32_t)session->work.count;
        return session->work.count && !session->listing.refused ? (int)IMAP_LIST : list_done(session);
}

void imap_say_list(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);

        if (session->work.count)
                imap_work_say(session, "FETCH", list_what);
        else
                imap_say(session, "UID FETCH %u:*%s", session->listing.after + 1, list_what);
}

void imap_list_entry(struct imap_session *session, const struct imap_fetch_items *items)
{
        struct imap_listing *listing = &session->listing;

        listing->refused |= items->has_size && !items->uid;
        /* "n:*" names the last message even when its UID is below n; a size that is not said is found out in
         * the end */
        if ((!items->has_size && !items->has_flags) || items->uid <= listing->after ||
            (listing->filter_seen && items->seen))
                return;
        if (++listing->total > LIMIT_LISTED) {
                (void)engine_fail(&session->engine, CAUSE_PROTOCOL, "the server lists more than %d messages",
                                  LIMIT_LISTED);
                return;
        }
        session->untagged = 0;
        engine_progress(&session->engine, ENGINE_ITEM);
        if (items->uid > listing->last) { /* else it is told again, as when its flags change meanwhile */
                listing->told++;
                listing->last = items->uid;
        }
        struct mailbox_entry entry = {
                .uid = items->uid, .size = items->size, .seen = items->seen, .deleted = items->deleted
        };
        give(session, &entry);
}

int imap_list_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);

        const struct imap_reply *said = reply;

        if (!imap_served(said) && said->status != IMAP_NO && said->status != IMAP_REFUSED_AS_BAD)
                return imap_refused(session, said, CAUSE_SERVER_BUSY, "the list of messages");
        session->listing.refused |= !imap_served(said);
        if (session->work.count)
                imap_work_say(session, "FETCH", list_what);
        if (session->in_flight)
                return STEP_SAME;
        session->listing.refused |= left_out(session) && session->listing.exists <= SEARCHABLE;
        if (session->listing.refused && !session->work.count)
                return IMAP_SEARCH;
        if (session->listing.refused)
                give_work(session);
        return list_done(session);
}
