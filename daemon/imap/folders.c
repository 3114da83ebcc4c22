/* SPDX-License-Identifier: MIT */
/* Listing folders; see folders.h. */
#include "daemon/imap/folders.h"

#include "common/folder_names.h"
#include "daemon/imap/command.h"
#include "daemon/imap/enable.h"
#include "daemon/imap/folder.h"
#include "daemon/imap/reply.h"
#include "daemon/imap/work.h"

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
        struct imap_session *session = imap_session_of(engine);
        const struct imap_reply *said = reply;

        if (said->status != IMAP_OK)
                return imap_refused(session, said, CAUSE_SERVER_BUSY, "to list the folders");
        return imap_operation_done(session, finished_folders);
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
