/* SPDX-License-Identifier: MIT */
/* What is said of a message that was left at the server; see oversize_notice.h. */
#include "daemon/incoming/oversize_notice.h"

#include "common/times.h"
#include "daemon/store/header_summary.h"

static const char *or_else(const char *text, const char *other)
{
        return text && text[0] ? text : other;
}

/* The header says nothing of UID, limit and time: it is the same when the message is met again, by which the
 * note is known (delivery_write.c). So a message without Date has a note without. */
static char *header_of(const struct oversize_message *message, const struct header_summary *summary)
{
        char size[32];
        bool dated = summary->date && summary->date[0];

        size_text(message->entry->size, size);
        return text_of("From: %s\r\n"
                       "Subject: Left at the server (%s): %s\r\n"
                       "%s%s%s"
                       "Auto-Submitted: auto-generated\r\n"
                       "X-EmailSec-Left: %llu\r\n"
                       "MIME-Version: 1.0\r\n"
                       "Content-Type: text/plain; charset=utf-8\r\n"
                       "Content-Transfer-Encoding: 8bit\r\n",
                       or_else(summary->from, "emailsecd <emailsecd@localhost>"), size,
                       or_else(summary->subject, "(no subject)"), dated ? "Date: " : "",
                       dated ? summary->date : "", dated ? "\r\n" : "",
                       (unsigned long long)message->entry->size);
}

char *oversize_notice_text(const struct oversize_message *message)
{
        const struct mailbox_entry *entry = message->entry;
        struct header_summary summary;

        header_summary_read(message->head, message->head_len, &summary);
        scoped(scoped_free) char *header = header_of(message, &summary);
        scoped(scoped_free) char *uid =
                entry->uidl[0] ? text_of("UIDL:    %s", entry->uidl) : text_of("UID:     %u", entry->uid);
        char *text = text_of(
                "%s\r\n"
                "A message for account %s is larger than the account takes. It was left at the\r\n"
                "server, and stays there: it is neither flagged nor deleted.\r\n"
                "\r\n"
                "From:    %s\r\n"
                "Subject: %s\r\n"
                "Date:    %s\r\n"
                "Size:    %llu bytes; maxMessageSize is %llu\r\n"
                "Folder:  %s\r\n"
                "%s\r\n"
                "\r\n"
                "To have it here, raise the limit; it is fetched at the next poll:\r\n"
                "\r\n"
                "    emailsecctl account set %s maxMessageSize=%llu\r\n"
                "\r\n"
                "Or read it, or delete it, at the server with another program.\r\n",
                header, message->account, or_else(summary.from, "not known"),
                or_else(summary.subject, "not known"), or_else(summary.date, "not known"),
                (unsigned long long)entry->size, (unsigned long long)message->most,
                or_else(message->folder, "INBOX"), uid, message->account, (unsigned long long)entry->size);
        header_summary_free(&summary);
        return text;
}
