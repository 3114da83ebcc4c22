/* SPDX-License-Identifier: MIT */
/* See sendmail.h. Monitoring programs read the list: its first column, "-- N Kbytes in N Requests." at its
 * end, or "Mail queue is empty". */
#include "ctl/sendmail.h"

#include "common/json_fields.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/times.h"
#include "ctl/call.h"
#include "ctl/show.h"

#include <stdio.h>

#define PAGE          500
#define SENDER_COLUMN 49 /* where senders and recipients stand */

/* ---- -bp ---- */

/* What follows an id: on its way, kept back, given up. */
static char mark_of(const char *state)
{
        return same_text(state, "sending")  ? '*'
               : same_text(state, "held")   ? '!'
               : same_text(state, "failed") ? '#'
                                            : ' ';
}

/* "Mon Nov 23 18:51:00", in local time and English, whatever the locale. */
static void arrival(const char *submitted, char out[32])
{
        time_t time = 0;
        char rfc5322[48]; /* "Mon, 23 Nov 2026 18:51:00 +0000" */

        if (time_parse(submitted, &time, NULL)) {
                (void)snprintf(out, 32, "-");
                return;
        }
        time_rfc5322(time, rfc5322);
        (void)snprintf(out, 32, "%.3s %.3s %.2s %.8s", rfc5322, rfc5322 + 8, rfc5322 + 5, rfc5322 + 17);
}

/* The reason why one is still there, in brackets, when it is not that of the one before; then its address. */
static void print_recipient(const json_t *message, const json_t *recipient, char **last)
{
        const char *reply = json_text(recipient, "reply"), *cause = json_text(recipient, "cause");
        const char *why = reply[0] ? reply : cause[0] ? cause : json_text(message, "cause");
        scoped(scoped_free) char *address = printable_text(json_text(recipient, "address"));

        if (why[0] && !same_text(why, *last)) {
                free(*last);
                *last = copy_text(why);
                scoped(scoped_free) char *safe = printable_text(why);
                printf("%*s(%s)\n", (int)(strlen(safe) + 2 < 78 ? 78 - strlen(safe) - 2 : 0), "", safe);
        }
        printf("%*s%s\n", SENDER_COLUMN, "", address);
}

static void print_message(const json_t *message)
{
        char time[32];
        size_t index;
        const json_t *recipient;
        scoped(scoped_free) char *last = NULL;
        scoped(scoped_free) char *id = printable_text(json_text(message, "id"));
        scoped(scoped_free) char *from = printable_text(json_text(message, "from"));

        arrival(json_text(message, "submitted"), time);
        printf("%-17s%c %8lld %19s  %s\n", id, mark_of(json_text(message, "state")),
               (long long)json_number(message, "size"), time, from[0] ? from : "MAILER-DAEMON");
        json_array_foreach(json_at(message, "recipients"), index, recipient)
                if (!same_text(json_text(recipient, "state"), "sent"))
                        print_recipient(message, recipient, &last);
        putchar('\n');
}

int sendmail_list(struct tool *tool, struct causes *failures)
{
        scoped(scoped_free) char *after = NULL;
        long long count = 0, bytes = 0;
        do {
                scoped(scoped_json) json_t *answer = NULL;
                struct tool_call list = { .method = EMAIL("ListQueue"),
                                          .fd = -1,
                                          .parameters = parameters_of("after", after) };
                size_t index;
                const json_t *message;
                json_put(list.parameters, "limit", json_integer(PAGE));
                if (call_once(tool, list, &answer, failures))
                        return -1;
                json_array_foreach(json_at(answer, "messages"), index, message) {
                        if (!count++)
                                printf("%-17s  %8s %-19s  %s\n", "----Queue ID-----", "--Size--",
                                       "---Arrival Time----", "--Sender/Recipient------");
                        bytes += json_number(message, "size");
                        print_message(message);
                }
                free(after);
                after = copy_text(json_string_value(json_at(answer, "next")));
        } while (after && after[0]);
        if (count)
                printf("-- %lld Kbytes in %lld Request%s.\n", (bytes + 1023) / 1024, count,
                       count == 1 ? "" : "s");
        else
                puts("Mail queue is empty");
        return 0;
}

/* ---- -q ---- */

struct flush_all {
        struct tool *tool;
        struct causes *failures;
};

static int flush_one(void *arg, json_t *account)
{
        struct flush_all *all = arg;
        struct tool_call flush = { .method = EMAIL("FlushQueue"), .fd = -1 };

        if (!same_text(json_text(account, "kind"), "outgoing"))
                return EXIT_DONE;
        flush.parameters = parameters_of("name", json_text(account, "name"));
        return call_once(all->tool, flush, NULL, all->failures);
}

int sendmail_flush(struct tool *tool, struct causes *failures)
{
        return each_account(tool, NULL, flush_one, &(struct flush_all){ tool, failures }, failures);
}
