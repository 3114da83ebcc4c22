/* SPDX-License-Identifier: MIT */
/* The ring of minutes, and its file; see history.h. */
#include "daemon/service/history.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/loop.h"
#include "daemon/store/queue_table.h"
#include "daemon/store/replace_file.h"
#include "daemon/work_counts.h"

enum { MINUTE = 60 };

/* Of fixed size, as it is in the file: numbers in this machine's order. */
struct minute {
        uint32_t begun; /* wall clock, in minutes */
        uint32_t sent, received, deferred, failed;
        uint32_t queue; /* messages that wait, at its end */
        uint32_t handshakes, p50_ms, p95_ms;
};

/* What the file begins with; the version changes with the struct. */
static const char mark[8] = { 'E', 'M', 'H', 'I', 'S', 'T', '0', '1' };

static struct {
        struct minute ring[HISTORY_MINUTES];
        size_t begin, count;
        uint32_t begun;            /* the minute under way */
        struct minute resumed;     /* its beginning, before the daemon was started again; else zero */
        struct work_counts before; /* as it began */
        struct timer *timer;
        char *path; /* NULL: there is no file */
} history;

static struct minute *minute_at(size_t index)
{
        return &history.ring[(history.begin + index) % HISTORY_MINUTES];
}

static uint32_t minute_now(void)
{
        return (uint32_t)(loop_wall() / MINUTE);
}

static uint32_t less(uint64_t now, uint64_t before)
{
        uint64_t more = now - before;

        return more < UINT32_MAX ? (uint32_t)more : UINT32_MAX;
}

/* Milliseconds that the given part of the minute's handshakes took at most. */
static uint32_t percentile(uint32_t handshakes, unsigned percent)
{
        uint64_t wanted = ((uint64_t)handshakes * percent + 99) / 100, seen = 0;

        for (unsigned i = 0; i < HANDSHAKE_CLASSES; i++) {
                seen += work_counts.handshakes[i] - history.before.handshakes[i];
                if (seen && seen >= wanted)
                        return work_handshake_ms(i);
        }
        return 0;
}

/* Of handshakes the times of the greater number. */
static void add_resumed(struct minute *minute)
{
        const struct minute *resumed = &history.resumed;

        if (resumed->handshakes > minute->handshakes) {
                minute->p50_ms = resumed->p50_ms;
                minute->p95_ms = resumed->p95_ms;
        }
        minute->sent = less((uint64_t)minute->sent + resumed->sent, 0);
        minute->received = less((uint64_t)minute->received + resumed->received, 0);
        minute->deferred = less((uint64_t)minute->deferred + resumed->deferred, 0);
        minute->failed = less((uint64_t)minute->failed + resumed->failed, 0);
        minute->handshakes = less((uint64_t)minute->handshakes + resumed->handshakes, 0);
}

static struct minute minute_so_far(void)
{
        const struct work_counts *before = &history.before;
        uint64_t handshakes = 0, queue = queue_waiting(NULL);

        for (unsigned i = 0; i < HANDSHAKE_CLASSES; i++)
                handshakes += work_counts.handshakes[i] - before->handshakes[i];
        struct minute minute = {
                .begun = history.begun,
                .sent = less(work_counts.sent, before->sent),
                .received = less(work_counts.received, before->received),
                .deferred = less(work_counts.deferred, before->deferred),
                .failed = less(work_counts.failed, before->failed),
                .queue = less(queue, 0),
                .handshakes = less(handshakes, 0),
        };
        minute.p50_ms = percentile(minute.handshakes, 50);
        minute.p95_ms = percentile(minute.handshakes, 95);
        add_resumed(&minute);
        return minute;
}

/* Keeps what lies in the day before that minute: where the clock was set, what is of another time would stand
 * in the wrong place, or make a day of years. */
static void forget_other_times(uint32_t begun)
{
        while (history.count) {
                uint32_t newest = minute_at(history.count - 1)->begun;
                if (newest < begun)
                        break;
                history.count--;
        }
        while (history.count && begun - minute_at(0)->begun > HISTORY_MINUTES) {
                history.begin = (history.begin + 1) % HISTORY_MINUTES;
                history.count--;
        }
}

static void append(const struct minute *minute)
{
        forget_other_times(minute->begun);
        *minute_at(history.count) = *minute;
        if (history.count < HISTORY_MINUTES)
                history.count++;
        else
                history.begin = (history.begin + 1) % HISTORY_MINUTES;
}

/* One that is there already, from before a restart, before the clock was set back or because the timer was
 * early, goes on. */
static void begin_minute(void)
{
        history.begun = minute_now();
        history.resumed = (struct minute){ 0 };
        for (size_t i = 0; i < history.count; i++) {
                const struct minute *one = minute_at(i);
                if (one->begun == history.begun)
                        history.resumed = *one;
        }
        forget_other_times(history.begun);
        history.before = work_counts;
        timer_set(history.timer, (int64_t)(MINUTE - loop_wall() % MINUTE) * 1000);
}

static void end_minute(void)
{
        struct minute minute = minute_so_far();

        append(&minute);
}

static void minute_over(void *ctx)
{
        (void)ctx;
        end_minute();
        begin_minute();
}

/* ---- what is shown ---- */

static json_t *minute_json(const struct minute *minute)
{
        json_t *object = json_object();

        json_put_time(object, "time", (int64_t)minute->begun * MINUTE);
        json_put(object, "sent", json_integer(minute->sent));
        json_put(object, "received", json_integer(minute->received));
        json_put(object, "deferred", json_integer(minute->deferred));
        json_put(object, "failed", json_integer(minute->failed));
        json_put(object, "queue", json_integer(minute->queue));
        json_put(object, "handshakes", json_integer(minute->handshakes));
        json_put(object, "handshakeP50", minute->handshakes ? json_integer(minute->p50_ms) : json_null());
        json_put(object, "handshakeP95", minute->handshakes ? json_integer(minute->p95_ms) : json_null());
        return object;
}

json_t *history_json(size_t minutes)
{
        json_t *list = json_array();
        struct minute present = minute_so_far();
        size_t past = minutes > 1 ? minutes - 1 : 0;

        for (size_t i = past < history.count ? history.count - past : 0; i < history.count; i++)
                (void)json_array_append_new(list, minute_json(minute_at(i)));
        (void)json_array_append_new(list, minute_json(&present));
        return list;
}

/* ---- its file ---- */

/* What is no file of this version, or of another time, is left out: nothing rests on it. */
static void take_file(const struct buf *file)
{
        uint32_t now = minute_now();
        struct minute minute;

        const uint8_t *bytes = buf_bytes(file);

        if (file->len < sizeof mark || memcmp(bytes, mark, sizeof mark) != 0)
                return;
        for (size_t at = sizeof mark; at + sizeof minute <= file->len; at += sizeof minute) {
                memcpy(&minute, bytes + at, sizeof minute);
                if (minute.begun <= now && now - minute.begun <= HISTORY_MINUTES)
                        append(&minute);
        }
}

static void read_history(void)
{
        struct cause cause;
        struct buf file;

        if (read_file(history.path, sizeof mark + sizeof history.ring, &file, &cause) > 0)
                take_file(&file);
        buf_free(&file);
}

/* Whether it succeeds is nobody's concern: charts begin anew. */
static void write_history(void)
{
        struct buf file = BUF_WITH_MAX(sizeof mark + sizeof history.ring);
        int failed = buf_append(&file, mark, sizeof mark);

        for (size_t i = 0; i < history.count && !failed; i++)
                failed = buf_append(&file, minute_at(i), sizeof *history.ring);
        if (!failed)
                replace_file_later(history.path, buf_bytes(&file), file.len, NULL, NULL);
        buf_free(&file);
}

void history_open(const char *directory)
{
        history.begin = history.count = 0;
        history.path = directory ? text_of("%s/history", directory) : NULL;
        if (history.path)
                read_history();
        history.timer = timer_new(minute_over, NULL);
        begin_minute();
}

void history_close(void)
{
        if (!history.timer)
                return;
        timer_free(take(history.timer));
        end_minute();
        if (history.path)
                write_history();
        free(take(history.path));
}
