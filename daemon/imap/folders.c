/* SPDX-License-Identifier: MIT */
/* Folders: listed, opened, waited at; see folders.h. */
#include "daemon/imap/folders.h"

#include "common/names.h"
#include "daemon/imap/command.h"
#include "daemon/imap/folder.h"
#include "daemon/imap/signin.h"
#include "daemon/imap/work.h"

/* ---- listing ---- */

static void finished_folders(struct imap_session *session)
{
        session->config.user->folders_listed(session->config.ctx);
}

void imap_folders(struct engine *engine, const char *pattern)
{
        struct imap_session *session = imap_session_of(engine);

        free(session->pattern);
        session->pattern = imap_folder_quoted(pattern, imap_names_are_utf8(session));
        session->folders = 0;
        if (session->pattern)
                engine_go(engine, IMAP_FOLDERS);
        else
                (void)engine_fail(engine, CAUSE_MAILBOX,
                                  "the folder name %s is not UTF-8, or has control characters", pattern);
}

void imap_say_folders(struct engine *engine)
{
        imap_say(imap_session_of(engine), "LIST \"\" %s", imap_session_of(engine)->pattern);
}

int imap_folders_heard(struct engine *engine, const void *reply)
{
        return imap_operation_ends(engine, reply, "to list the folders", finished_folders);
}

/* Reads the attributes; true when the folder can be opened. */
static bool read_selectable(struct imap_cursor *cursor)
{
        struct imap_text word;
        bool selectable = true;

        if (!imap_take(cursor, '(')) {
                (void)imap_skip(cursor);
                return true;
        }
        while (imap_blanks(cursor), cursor->at < cursor->end && !imap_take(cursor, ')')) {
                if (imap_string(cursor, &word))
                        selectable &= !imap_is(&word, "\\Noselect") && !imap_is(&word, "\\NonExistent");
                else
                        cursor->at++;
        }
        return selectable;
}

/* Takes the backslashes off; the caller frees. */
static char *unquoted(const struct imap_text *text)
{
        char *plain = copy_bytes(text->bytes, text->len), *to = plain;

        for (const char *at = plain; *at; at++) {
                if (*at == '\\' && at[1] && text->form == IMAP_QUOTED)
                        at++;
                *to++ = *at;
        }
        *to = '\0';
        return plain;
}

void imap_folder_heard(struct imap_session *session, struct imap_cursor *cursor)
{
        struct imap_text delimiter, name;

        if (session->engine.step != IMAP_FOLDERS)
                return;
        bool selectable = read_selectable(cursor);
        (void)imap_blanks(cursor);
        if (!imap_string(cursor, &delimiter) || (imap_blanks(cursor), !imap_string(cursor, &name)) ||
            !name.len)
                return;
        if (++session->folders > LIMIT_FOLDERS_LISTED) {
                (void)engine_fail(&session->engine, CAUSE_PROTOCOL, "the server lists more than %d folders",
                                  LIMIT_FOLDERS_LISTED);
                return;
        }
        scoped(scoped_free) char *bytes = unquoted(&name);
        scoped(scoped_free) char *plain =
                imap_folder_plain(bytes, strlen(bytes), imap_names_are_utf8(session));
        if (plain)
                session->config.user->folder(session->config.ctx, folder_name_normal(plain), selectable);
}

/* ---- opening ---- */

static void finished_open(struct imap_session *session)
{
        session->config.user->opened(session->config.ctx, &session->info);
}

void imap_open(struct engine *engine, const char *folder, bool read_only)
{
        struct imap_session *session = imap_session_of(engine);

        free(session->folder);
        session->folder = imap_folder_quoted(folder, imap_names_are_utf8(session));
        session->examine = read_only;
        session->info = (struct mailbox_info){ .read_only = read_only };
        if (!session->folder)
                (void)engine_fail(engine, CAUSE_MAILBOX,
                                  "the folder name %s is not UTF-8, or has control characters", folder);
        else
                engine_go(engine, IMAP_SELECT);
}

void imap_say_select(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);

        imap_say(session, "%s %s", session->examine ? "EXAMINE" : "SELECT", session->folder);
}

static void finished_not_opened(struct imap_session *session)
{
        session->config.user->not_opened(session->config.ctx, session->refusal);
}

/* The session stands, with no folder open. Words that nobody knows may be about this moment as well as about
 * the folder. */
static int folder_refused(struct imap_session *session, const struct imap_reply *said)
{
        scoped(scoped_free) char *what = text_of("to open the folder %s", session->folder);
        struct cause cause;

        if (said->status != IMAP_NO && said->status != IMAP_REFUSED_AS_BAD)
                return imap_refused(session, said, CAUSE_MAILBOX, what);
        (void)imap_explain(session, said, CAUSE_SERVER_BUSY, what, &cause);
        if (!cause.remedy[0])
                cause_remedy(&cause, "see which folders there are: emailsecctl account folders NAME; it is "
                                     "tried again by itself");
        cause_keep(&session->refusal, &cause);
        return imap_operation_done(session, finished_not_opened);
}

int imap_select_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);
        const struct imap_reply *said = reply;

        if (said->status != IMAP_OK)
                return folder_refused(session, said);
        session->info.can_idle = imap_offers(session, "IDLE") || imap_offers(session, "IMAP4REV2");
        session->info.can_expunge_uid = imap_offers(session, "UIDPLUS") || imap_offers(session, "IMAP4REV2");
        session->news = false;
        return imap_operation_done(session, finished_open);
}

/* ---- news without IDLE ---- */

void imap_refresh(struct engine *engine)
{
        engine_go(engine, IMAP_REFRESH);
}

int imap_refresh_heard(struct engine *engine, const void *reply)
{
        return imap_operation_ends(engine, reply, "to look for new mail", finished_open);
}

/* ---- IDLE ---- */

static void finished_idle(struct imap_session *session)
{
        session->config.user->woken(session->config.ctx);
}

static void finished_idle_refused(struct imap_session *session)
{
        session->config.user->idle_refused(session->config.ctx, session->refusal);
}

void imap_idle(struct engine *engine)
{
        imap_session_of(engine)->wake_wanted = false;
        engine_go(engine, IMAP_IDLE);
}

void imap_wake(struct engine *engine)
{
        if (engine->step == IMAP_IDLING)
                engine_go(engine, IMAP_DONE);
        else if (engine->step == IMAP_IDLE)
                imap_session_of(engine)->wake_wanted = true;
}

void imap_say_idle(struct engine *engine)
{
        imap_say(imap_session_of(engine), "IDLE");
}

int imap_idle_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);
        const struct imap_reply *said = reply;

        if (said->status == IMAP_NO || said->status == IMAP_REFUSED_AS_BAD) {
                struct cause cause;
                (void)imap_explain(session, said, CAUSE_SERVER_BUSY, "to wait for mail by IDLE", &cause);
                cause_keep(&session->refusal, &cause);
                return imap_operation_done(session, finished_idle_refused);
        }
        if (said->status == IMAP_OK) /* it has ended before it began */
                return imap_operation_done(session, finished_idle);
        if (said->status != IMAP_CONTINUE)
                return imap_refused(session, said, CAUSE_SERVER_BUSY, "to wait for mail by IDLE");
        return session->wake_wanted ? IMAP_DONE : IMAP_IDLING;
}

/* What came between the last listing and the server's taking up IDLE is told now: nothing falls into the gap.
 */
void imap_say_idling(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);

        engine->idle = true;
        if (session->news)
                session->config.user->changed(session->config.ctx);
}

/* Some servers end IDLE by themselves after a while, some at once. */
int imap_idling_heard(struct engine *engine, const void *reply)
{
        return imap_operation_ends(engine, reply, "to go on with IDLE", finished_idle);
}

void imap_say_done(struct engine *engine)
{
        imap_say_end_of_idle(imap_session_of(engine));
}

int imap_done_heard(struct engine *engine, const void *reply)
{
        return imap_operation_ends(engine, reply, "to end IDLE", finished_idle);
}
