/* SPDX-License-Identifier: MIT */
/*
 * Importing several certificates, as one transaction: all files as they are to be are written into one,
 * trust/import.pending, whose presence decides. What follows, the files themselves and the end of
 * import.pending, is tried until it is done, by the next start if need be. Meanwhile no other change of the
 * User Trust Store begins.
 */
#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/store/jobs.h"
#include "daemon/store/replace_file.h"
#include "daemon/tls/trust_parts.h"

enum { BUNDLE_AGAIN_MS = 1000 }; /* between tries to write what was decided */

struct bundle_waiting {
        void (*begin)(void *ctx, const struct cause *cause);
        void *ctx;
        struct bundle_waiting *next;
};

static struct {
        json_t *files; /* [{name, text}]; NULL: none is under way */
        size_t writing;
        struct cause failed; /* the last try to write what was decided */
        struct timer *again;
        void (*done)(void *ctx, const struct cause *cause);
        void *ctx;
} bundle;
static struct bundle_waiting *waiting; /* in order of the calls */

/* ---- one after the other --------------------------------------------------------------------- */

/* With a cause, all are refused; else until one of them is a bundle again. */
static void run_waiting(const struct cause *cause)
{
        while (waiting && (cause || !bundle.files)) {
                struct bundle_waiting *first = waiting;
                waiting = first->next;
                first->begin(first->ctx, cause);
                free(first);
        }
}

void trust_change_begin(void (*begin)(void *ctx, const struct cause *cause), void *ctx)
{
        const struct cause *unread = trust_pending_fault();
        struct bundle_waiting **at = &waiting;

        if (unread || cause_happened(&bundle.failed)) {
                begin(ctx, unread ? unread : &bundle.failed);
        } else if (!bundle.files) {
                begin(ctx, NULL);
        } else {
                while (*at)
                        at = &(*at)->next;
                *at = new_object(struct bundle_waiting);
                **at = (struct bundle_waiting){ .begin = begin, .ctx = ctx };
        }
}

/* ---- the files ------------------------------------------------------------------------------- */

static void answer(const struct cause *cause)
{
        void (*done)(void *ctx, const struct cause *cause) = bundle.done;

        bundle.done = NULL;
        if (done)
                done(bundle.ctx, cause_or_null(cause));
}

static void forget_bundle(void)
{
        json_decref(take(bundle.files));
        timer_free(take(bundle.again));
        cause_clear(&bundle.failed);
}

static void bundle_end(const struct cause *cause)
{
        forget_bundle();
        answer(cause);
        run_waiting(NULL);
}

static void write_files(void *ctx);

/* It counts as done all the same: import.pending is there. */
static void try_later(void)
{
        if (!cause_happened(&bundle.failed))
                (void)cause_set(&bundle.failed, CAUSE_CANCELLED, "the daemon is ending");
        cause_prefix(&bundle.failed, "an import that was decided is not all written yet: ");
        answer(NULL);
        run_waiting(&bundle.failed);
        if (store_closing() || !trust_is_open()) {
                forget_bundle();
                return;
        }
        if (!bundle.again)
                bundle.again = timer_new(write_files, NULL);
        timer_set(bundle.again, BUNDLE_AGAIN_MS);
}

static void decision_removed(void *ctx, const struct cause *cause)
{
        (void)ctx;
        if (!cause_happened(cause)) {
                bundle_end(NULL);
                return;
        }
        bundle.failed = *cause;
        try_later();
}

static void file_written(void *ctx, const struct cause *cause)
{
        (void)ctx;
        if (cause_happened(cause))
                bundle.failed = *cause;
        if (--bundle.writing)
                return;
        if (cause_happened(&bundle.failed) || !trust_is_open()) {
                try_later();
                return;
        }
        scoped(scoped_free) char *path = trust_place(TRUST_PENDING);
        replace_file_later(path, NULL, 0, decision_removed, NULL);
}

/* All the files, and when they are there import.pending goes. */
static void write_files(void *ctx)
{
        size_t index;
        json_t *file;

        (void)ctx;
        if (!trust_is_open()) {
                try_later();
                return;
        }
        cause_clear(&bundle.failed);
        bundle.writing = json_array_size(bundle.files) + 1;
        json_array_foreach(bundle.files, index, file) {
                const char *text = json_string_value(json_object_get(file, "text"));
                scoped(scoped_free) char *path =
                        trust_place(json_string_value(json_object_get(file, "name")));
                replace_file_later(path, text, strlen(text), file_written, NULL);
        }
        file_written(NULL, NULL);
}

static void decided(void *ctx, const struct cause *cause)
{
        if (cause_happened(cause))
                bundle_end(cause);
        else
                write_files(ctx);
}

void trust_bundle_write(json_t *files, void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        json_t *decision = json_object();
        scoped(scoped_free) char *path = trust_place(TRUST_PENDING);
        struct cause cause = { 0 };

        bundle.files = files;
        bundle.done = done;
        bundle.ctx = ctx;
        json_put(decision, "version", json_integer(1));
        json_put(decision, "files", json_incref(files));
        scoped(scoped_free) char *text = json_dumps(decision, JSON_INDENT(1));
        json_decref(decision);
        if (strlen(text) > LIMIT_TRUST_FILE) {
                cause_set(&cause, CAUSE_TOO_LARGE, "these certificates take more than %d bytes",
                          LIMIT_TRUST_FILE);
                bundle_end(&cause);
                return;
        }
        replace_file_later(path, text, strlen(text), decided, NULL);
}

void trust_bundle_resume(json_t *files)
{
        if (!files || bundle.files) {
                json_decref(files); /* its own import is at it */
                return;
        }
        bundle.files = files;
        log_about(NULL, LOG_NOTICE, MSG_TRUST_CHANGED,
                  "an import was under way when the daemon ended: its %zu certificates are in the User Trust "
                  "Store now",
                  json_array_size(files));
        write_files(NULL);
}

void trust_bundle_close(void)
{
        if (bundle.again && timer_is_set(bundle.again))
                forget_bundle();
}
