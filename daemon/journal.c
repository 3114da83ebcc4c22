/* SPDX-License-Identifier: MIT */
/* One message to journald with its fields, or one line to stderr; any thread may log. See journal.h. */
#define SD_JOURNAL_SUPPRESS_LOCATION /* the place would always be this file */
#include "daemon/journal.h"

#include "common/buf.h"
#include "common/limits.h"
#include "common/printable.h"
#include "common/times.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

typedef void capture_fn(int priority, const char *message_id, const char *text);

static atomic_int max_priority = LOG_INFO;
static atomic_bool to_journal;
static atomic_int to_person = -1; /* stderr is a terminal; -1: not known before journal_open() */
static _Atomic(capture_fn *) capture_message;

enum {
        FIELDS_MAX = 32,
        REPEATS = 64,         /* texts looked out for */
        REPEATS_FREE = 5,     /* the same text this often */
        REPEATS_SECONDS = 60, /* within this time; then it is counted */
};

/* What is sent along, by the subject's texts. */
static const struct {
        const char *name;
        size_t offset;
} text_fields[] = {
        { "ACCOUNT", offsetof(struct subject, account) },
        { "DIRECTION", offsetof(struct subject, direction) },
        { "HOST", offsetof(struct subject, host) },
        { "TLS_VERSION", offsetof(struct subject, tls_version) },
        { "TLS_CIPHER", offsetof(struct subject, tls_cipher) },
        { "CERT_SHA256", offsetof(struct subject, cert_sha256) },
        { "KEY_SHA256", offsetof(struct subject, key_sha256) },
        { "QUEUE_ID", offsetof(struct subject, queue_id) },
        { "CHALLENGE_ID", offsetof(struct subject, challenge_id) },
        { "ENHANCED_CODE", offsetof(struct subject, enhanced_code) },
        { "SESSION", offsetof(struct subject, session) },
        { "FILE", offsetof(struct subject, file) },
        { "EMAILSEC_ACTION", offsetof(struct subject, action) },
        { "EMAILSEC_WHO", offsetof(struct subject, who) },
        { "EMAILSEC_UID", offsetof(struct subject, uid) },
        { "EMAILSEC_LOGIN_UID", offsetof(struct subject, login_uid) },
        { "EMAILSEC_CHANGES", offsetof(struct subject, details) },
};

/* systemd names the journal's stream by device and inode; stderr may have been sent elsewhere since. */
static bool stderr_is_the_journal(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device = 0, inode = 0;
        struct stat status;
        int end = 0;

        if (!stream || sscanf(stream, "%llu:%llu%n", &device, &inode, &end) != 2 || stream[end])
                return false;
        return fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void journal_open(int priority, enum journal_target target)
{
        atomic_store(&max_priority, priority);
        atomic_store(&to_person, isatty(STDERR_FILENO));
        atomic_store(&to_journal,
                     target == JOURNAL_JOURNAL || (target == JOURNAL_AUTO && stderr_is_the_journal()));
}

bool journal_wants(int priority)
{
        return priority <= atomic_load(&max_priority);
}

void journal_capture(void (*capture)(int priority, const char *message_id, const char *text))
{
        atomic_store(&capture_message, capture);
}

struct fields {
        char *texts[FIELDS_MAX];
        size_t count;
};

static void fields_done(struct fields *fields)
{
        for (size_t i = 0; i < fields->count; i++)
                free(fields->texts[i]);
}

/* NAME=value, escaped; a NULL or empty value adds nothing. */
static void add_field(struct fields *fields, const char *name, const char *value)
{
        if (!value || !value[0] || fields->count == FIELDS_MAX)
                return;
        char *scoped(scoped_free) clean = printable_text(value);
        fields->texts[fields->count++] = text_of("%s=%s", name, clean);
}

static void add_number(struct fields *fields, const char *name, unsigned number)
{
        char text[16];

        (void)snprintf(text, sizeof text, "%u", number);
        add_field(fields, name, number ? text : NULL);
}

static bool has_cause(const struct subject *subject)
{
        return subject && subject->cause && subject->cause->code != CAUSE_NONE;
}

static void add_subject(struct fields *fields, const struct subject *subject)
{
        for (size_t i = 0; i < count_of(text_fields); i++)
                add_field(
                        fields, text_fields[i].name,
                        *(const char *const *)(const void *)((const char *)subject + text_fields[i].offset));
        add_number(fields, "PORT", subject->port);
        add_number(fields, "REPLY_CODE", subject->reply_code);
        if (has_cause(subject)) {
                add_field(fields, "CAUSE", cause_kind(subject->cause->code)->name);
                add_field(fields, "REMEDY", cause_remedy_of(subject->cause));
        }
        add_field(fields, "EMAILSEC_AUDIT", subject->action ? "1" : NULL);
}

/* 0, or -1 when the journal did not take it. */
static int send_to_journal(const struct subject *subject, int priority, const char *message_id,
                           const char *text)
{
        struct fields scoped(fields_done) fields = { 0 };
        struct iovec iov[FIELDS_MAX];

        add_field(&fields, "MESSAGE", text[0] ? text : "(no text)");
        fields.texts[fields.count++] = text_of("PRIORITY=%d", priority);
        add_field(&fields, "SYSLOG_IDENTIFIER", "emailsecd");
        add_field(&fields, "MESSAGE_ID", message_id);
        if (subject)
                add_subject(&fields, subject);
        for (size_t i = 0; i < fields.count; i++)
                iov[i] = (struct iovec){ .iov_base = fields.texts[i], .iov_len = strlen(fields.texts[i]) };
        return sd_journal_sendv(iov, (int)fields.count) < 0 ? -1 : 0;
}

static void write_whole(const char *line, size_t len)
{
        while (len) {
                ssize_t done = write(STDERR_FILENO, line, len);
                if (done < 0 && errno == EINTR)
                        continue;
                if (done <= 0)
                        return; /* nowhere is left to say so */
                line += done;
                len -= (size_t)done;
        }
}

/* One write for one line, so that lines of threads do not mix. */
static void write_to_stderr(const struct subject *subject, int priority, const char *text)
{
        char *scoped(scoped_free) account =
                subject && subject->account && subject->account[0] ? printable_text(subject->account) : NULL;
        const char *remedy = has_cause(subject) ? cause_remedy_of(subject->cause) : "";
        char prefix[16] = "";

        int person = atomic_load(&to_person);
        if (person < 0)
                person = isatty(STDERR_FILENO);
        if (!person)
                (void)snprintf(prefix, sizeof prefix, "<%d>", priority);
        bool about = account || remedy[0];
        char *scoped(scoped_free) line =
                text_of("%s%s%s%s%s%s%s%s%s\n", prefix, text, about ? " (" : "", account ? "account " : "",
                        account ? account : "", account && remedy[0] ? "; " : "",
                        remedy[0] ? "what to do: " : "", remedy, about ? ")" : "");
        write_whole(line, strlen(line));
}

static void emit(const struct subject *subject, int priority, const char *message_id, const char *text)
{
        capture_fn *capture = atomic_load(&capture_message);

        if (capture)
                capture(priority, message_id, text);
        if (!atomic_load(&to_journal) || send_to_journal(subject, priority, message_id, text) < 0)
                write_to_stderr(subject, priority, text);
}

/* ---- repeats ---- */

struct repeat {
        char *text; /* NULL: free */
        const char *message_id;
        int priority;
        time_t since; /* CLOCK_MONOTONIC */
        unsigned times;
};

static struct {
        pthread_mutex_t lock;
        struct repeat of[REPEATS]; /* by the text's hash */
} repeats = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Takes the repeat over. */
static void tell_count(struct repeat *repeat)
{
        if (repeat->times > REPEATS_FREE) {
                char *scoped(scoped_free) text = text_of("%s (%u more times within %d s)", repeat->text,
                                                         repeat->times - REPEATS_FREE, REPEATS_SECONDS);
                emit(NULL, repeat->priority, repeat->message_id, text);
        }
        free(repeat->text);
}

/* True when the text was told often enough of late: it is counted instead. */
static bool held_back(int priority, const char *message_id, const char *text)
{
        struct repeat before = { 0 };
        uint32_t hash = 2166136261U;

        for (const char *at = text; *at; at++)
                hash = (hash ^ (uint8_t)*at) * 16777619U;
        struct repeat *repeat = &repeats.of[hash % REPEATS];
        pthread_mutex_lock(&repeats.lock);
        time_t now = time_monotonic_s();
        if (!repeat->text || strcmp(repeat->text, text) != 0 || now - repeat->since >= REPEATS_SECONDS) {
                before = *repeat;
                *repeat = (struct repeat){ copy_text(text), message_id, priority, now, 0 };
        }
        bool held = ++repeat->times > REPEATS_FREE;
        pthread_mutex_unlock(&repeats.lock);
        tell_count(&before);
        return held;
}

void journal_tell_repeats(bool all)
{
        for (size_t i = 0; i < REPEATS; i++) {
                struct repeat over = { 0 };
                pthread_mutex_lock(&repeats.lock);
                if (repeats.of[i].text &&
                    (all || time_monotonic_s() - repeats.of[i].since >= REPEATS_SECONDS)) {
                        over = repeats.of[i];
                        repeats.of[i] = (struct repeat){ 0 };
                }
                pthread_mutex_unlock(&repeats.lock);
                tell_count(&over);
        }
}

void log_about(const struct subject *subject, int priority, const char *message_id, const char *format, ...)
{
        bool audit = subject && subject->action;
        if (!audit && !journal_wants(priority))
                return;
        struct buf scoped(buf_free) words = BUF_WITH_MAX(LIMIT_REPLY);
        va_list args;
        va_start(args, format);
        if (buf_vappendf(&words, format, args) < 0 &&
            buf_append_text(&words, "(a message too long to log)") < 0)
                abort();
        va_end(args);
        char *scoped(scoped_free) raw = buf_take_text(&words);
        char *scoped(scoped_free) text = printable_text(raw);
        if (audit || priority > LOG_NOTICE || !held_back(priority, message_id, text))
                emit(subject, priority, message_id, text);
}
