/* SPDX-License-Identifier: MIT */
/*
 * Untagged responses and response codes; see responses.h. Before TLS stands on a STARTTLS
 * account nothing but the capabilities is taken in (security rule 4).
 */
#include "daemon/imap/responses.h"

#include "daemon/imap/command.h"
#include "daemon/imap/fetch.h"
#include "daemon/imap/folders.h"
#include "daemon/imap/signin.h"

#include <ctype.h>

/* ---- capabilities ---- */

static void take_capabilities(struct imap_session *session, struct imap_cursor *cursor)
{
        struct buf words = BUF_WITH_MAX(LIMIT_LINE);
        struct imap_text word;
        unsigned count = 0;

        while (imap_blanks(cursor), imap_word(cursor, &word)) {
                if (++count > LIMIT_CAPABILITIES || buf_append(&words, word.bytes, word.len) != 0 ||
                    buf_append(&words, " ", 1) != 0) {
                        buf_free(&words);
                        (void)engine_fail(&session->engine, CAUSE_PROTOCOL,
                                          "the server lists more than %d capabilities", LIMIT_CAPABILITIES);
                        return;
                }
        }
        if (words.len)
                words.len--;
        free(session->capabilities);
        session->capabilities = buf_take_text(&words);
        session->capabilities_fresh = true;
        for (char *at = session->capabilities; *at; at++)
                *at = (char)toupper((unsigned char)*at);
}

/* True when what the server says may be believed: TLS stands, or the account wants none. */
static bool may_believe(const struct imap_session *session)
{
        return session->engine.channel.tls || !session->engine.wants_starttls;
}

void imap_code_heard(struct imap_session *session, const struct imap_reply *reply)
{
        struct imap_cursor cursor = imap_cursor(reply->code.bytes, reply->code.len);
        struct imap_text word;
        uint64_t number = 0;

        if (!reply->code.len || !may_believe(session) || !imap_word(&cursor, &word))
                return;
        (void)imap_blanks(&cursor);
        if (imap_is(&word, "CAPABILITY"))
                take_capabilities(session, &cursor);
        else if (imap_is(&word, "READ-ONLY"))
                session->info.read_only = true;
        else if (imap_is(&word, "UIDVALIDITY") && imap_number(&cursor, UINT64_MAX, &number))
                session->info.uidvalidity =
                        number; /* 32 bits by RFC 9051; some servers count in finer time */
        else if (imap_is(&word, "UIDNEXT") && imap_number(&cursor, UINT32_MAX, &number))
                session->info.uidnext = (uint32_t)number;
}

/* ---- untagged responses ---- */

enum { ALERT_MOST = 300 };

static void on_capability(struct imap_session *session, uint64_t number unused_arg,
                          struct imap_cursor *cursor)
{
        take_capabilities(session, cursor);
}

static void on_exists(struct imap_session *session, uint64_t number, struct imap_cursor *cursor unused_arg)
{
        bool grown = number > session->info.exists;

        session->info.exists = (uint32_t)number;
        session->info.counted = true;
        if (!grown || session->engine.step == IMAP_SELECT)
                return;
        session->info.uidnext = 0; /* no longer what SELECT said */
        session->news = true;
        if (session->engine.step == IMAP_IDLING)
                session->config.user->changed(session->config.ctx);
}

static void on_expunge(struct imap_session *session, uint64_t number unused_arg,
                       struct imap_cursor *cursor unused_arg)
{
        if (session->info.exists)
                session->info.exists--;
        if (session->listing.exists)
                session->listing.exists--;
        if (session->engine.step == IMAP_EXPUNGE)
                engine_progress(&session->engine, ENGINE_ITEM);
        else
                session->expunged++;
}

static void on_search(struct imap_session *session, uint64_t number unused_arg, struct imap_cursor *cursor)
{
        imap_found(session, cursor);
}

static void on_esearch(struct imap_session *session, uint64_t number unused_arg, struct imap_cursor *cursor)
{
        imap_found_sets(session, cursor);
}

static void on_enabled(struct imap_session *session, uint64_t number unused_arg, struct imap_cursor *cursor)
{
        imap_enabled(session, cursor);
}

static void on_fetch(struct imap_session *session, uint64_t number unused_arg, struct imap_cursor *cursor)
{
        imap_fetch_heard(session, cursor);
}

static void on_list(struct imap_session *session, uint64_t number unused_arg, struct imap_cursor *cursor)
{
        imap_folder_heard(session, cursor);
}

/* Everything not in here is read over: flags, what extensions add. */
static const struct {
        const char *word;
        bool numbered, before_tls;
        void (*heard)(struct imap_session *, uint64_t number, struct imap_cursor *);
} untagged[] = {
        { "FETCH", true, false, on_fetch },      { "EXISTS", true, false, on_exists },
        { "EXPUNGE", true, false, on_expunge },  { "SEARCH", false, false, on_search },
        { "ESEARCH", false, false, on_esearch }, { "ENABLED", false, false, on_enabled },
        { "LIST", false, false, on_list },       { "CAPABILITY", false, true, on_capability },
};

/* RFC 9051 section 7.1: what a person must be shown; of a server that is known, and without our secrets. */
void imap_alert_heard(struct imap_session *session, const struct imap_reply *reply)
{
        struct imap_cursor cursor = imap_cursor(reply->code.bytes, reply->code.len);
        struct imap_text word;
        size_t len = reply->words.len < ALERT_MOST ? reply->words.len : ALERT_MOST;

        if (!reply->code.len || !imap_word(&cursor, &word) || !imap_is(&word, "ALERT") || !len ||
            !session->signed_in || !may_believe(session) || !session->config.user->alert ||
            imap_echoes_secret(session, reply->words.bytes, len))
                return;
        scoped(scoped_free) char *words = copy_bytes(reply->words.bytes, len);
        session->config.user->alert(session->config.ctx, words);
}

static void status_heard(struct imap_session *session, const struct imap_reply *reply)
{
        imap_alert_heard(session, reply);
        if (reply->status == IMAP_OK) {
                imap_code_heard(session, reply);
        } else if (reply->status == IMAP_BYE && session->engine.step != IMAP_LOGOUT) {
                (void)imap_refused(session, reply, CAUSE_SERVER_BUSY, "to go on");
        } else if (reply->status == IMAP_PREAUTH) {
                (void)engine_fail(&session->engine, CAUSE_PROTOCOL, "the server greeted a second time");
        }
}

bool imap_leads_nowhere(struct imap_session *session)
{
        if (++session->untagged <= LIMIT_UNTAGGED_IDLE)
                return false;
        (void)engine_fail(&session->engine, CAUSE_PROTOCOL, "the server sent %d responses that lead nowhere",
                          LIMIT_UNTAGGED_IDLE);
        return true;
}

void imap_untagged_heard(struct imap_session *session, struct imap_cursor cursor)
{
        struct imap_cursor begin;
        struct imap_text word;
        uint64_t number = 0;

        if (imap_leads_nowhere(session))
                return;
        (void)imap_blanks(&cursor);
        begin = cursor;
        bool numbered = imap_number(&cursor, UINT32_MAX, &number) && imap_blanks(&cursor);
        if (!numbered)
                cursor = begin;
        if (!imap_word(&cursor, &word))
                return;
        for (size_t i = 0; i < count_of(untagged); i++) {
                if (untagged[i].numbered != numbered || !imap_is(&word, untagged[i].word))
                        continue;
                (void)imap_blanks(&cursor);
                if (untagged[i].before_tls || may_believe(session))
                        untagged[i].heard(session, number, &cursor);
                return;
        }
        struct imap_reply reply = imap_reply_read(&begin);
        status_heard(session, &reply);
}
