/* SPDX-License-Identifier: MIT */
/* ENABLE and ID; see enable.h. A server that refuses either is used without. */
#include "daemon/imap/enable.h"

#include "daemon/imap/command.h"
#include "daemon/imap/reply.h"

static bool has_rev2(const struct imap_session *session)
{
        return imap_offers(session, "IMAP4REV2");
}

/* What to take into use, parted by blanks; "" nothing. A server of rev2 alone is one without being asked. */
static const char *wanted(const struct imap_session *session)
{
        bool utf8 = imap_offers(session, "UTF8=ACCEPT") || imap_offers(session, "UTF8=ONLY");
        bool rev2 = has_rev2(session) && imap_offers(session, "IMAP4REV1");

        if (!imap_offers(session, "ENABLE") && !has_rev2(session))
                return "";
        return utf8 && rev2 ? "UTF8=ACCEPT IMAP4rev2" : utf8 ? "UTF8=ACCEPT" : rev2 ? "IMAP4rev2" : "";
}

int imap_enable(struct imap_session *session)
{
        return wanted(session)[0] || imap_offers(session, "ID") ? (int)IMAP_ENABLE : (int)STEP_READY;
}

void imap_say_enable(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);

        if (wanted(session)[0])
                imap_say(session, "ENABLE %s", wanted(session));
        if (imap_offers(session, "ID"))
                imap_say(session, "ID (\"name\" \"emailsecd\" \"version\" \"%s\")", VERSION);
}

int imap_enable_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);
        const struct imap_reply *said = reply;

        if (said->status != IMAP_OK && said->status != IMAP_NO && said->status != IMAP_REFUSED_AS_BAD)
                return imap_refused(session, said, CAUSE_SERVER_BUSY, "to enable what it offers");
        return session->in_flight ? (int)STEP_SAME : (int)STEP_READY;
}

void imap_enabled(struct imap_session *session, struct imap_cursor *cursor)
{
        struct imap_text word;

        if (session->engine.step != IMAP_ENABLE)
                return;
        while (imap_blanks(cursor), imap_word(cursor, &word))
                session->utf8 |= imap_is(&word, "UTF8=ACCEPT") || imap_is(&word, "IMAP4rev2");
}

bool imap_names_are_utf8(const struct imap_session *session)
{
        return session->utf8 || (has_rev2(session) && !imap_offers(session, "IMAP4REV1"));
}
