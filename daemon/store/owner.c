/* SPDX-License-Identifier: MIT */
/* Which identity a name is bound to, in memory and in the table `owner`, and the end of what belongs to one;
 * see owner.h. */
#include "daemon/store/owner_rows.h"

#include "common/times.h"
#include "daemon/loop.h"
#include "daemon/random.h"
#include "daemon/store/fetched_table.h"
#include "daemon/store/inbox_scan.h"
#include "daemon/store/jobs.h"
#include "daemon/store/kept.h"
#include "daemon/store/maildir_folder.h"
#include "daemon/store/queue_rows.h"

#include <stdatomic.h>
#include <stdio.h>

enum {
        BUCKETS = 4096,
        STEP_MESSAGES = 200,
        STEP_RECEIVED = 2000,
        MANY_RECEIVED = 5 * STEP_RECEIVED, /* nobody waits for the end of so many */
        STEP_MS = 200,                     /* of one transaction, and no longer where others wait for it */
};

struct bound {
        struct owner owner;
        enum owner_state state;
        struct owner_rows found; /* removed at the start, as it was going */
        struct bound *next;
};
static struct bound *bounds[BUCKETS]; /* loop's */

static struct bound **place_of(const char *name)
{
        struct bound **place = &bounds[text_hash(name) % BUCKETS];

        while (*place && strcmp((*place)->owner.name, name) != 0)
                place = &(*place)->next;
        return place;
}

static void bind_name(const char *name, const char *id, enum owner_state state)
{
        struct bound **place = place_of(name);

        if (!*place) {
                *place = new_object(struct bound);
                (*place)->owner.bound = true;
                (void)snprintf((*place)->owner.name, sizeof(*place)->owner.name, "%s", name);
        }
        (void)snprintf((*place)->owner.id, sizeof(*place)->owner.id, "%s", id);
        (*place)->state = state;
}

static void let_go(const char *name)
{
        struct bound **place = place_of(name), *bound = *place;

        if (bound)
                *place = bound->next;
        free(bound);
}

/* ---- asking ---- */

void owner_id_new(char id[OWNER_ID_SIZE])
{
        random_token(id, OWNER_ID_SIZE - 1);
}

const char *owner_id(const char *name)
{
        const struct bound *bound = *place_of(name);

        return bound ? bound->owner.id : NULL;
}

bool owner_is_there(const char *name)
{
        const struct bound *bound = *place_of(name);

        return bound && bound->state == OWNER_THERE;
}

bool owner_is_going(const char *name)
{
        const struct bound *bound = *place_of(name);

        return bound && bound->state == OWNER_GOING;
}

void owners_each(void (*each)(void *ctx, const char *name, enum owner_state state), void *ctx)
{
        for (size_t i = 0; i < BUCKETS; i++)
                for (const struct bound *bound = bounds[i]; bound; bound = bound->next)
                        each(ctx, bound->owner.name, bound->state);
}

char *owner_key(const char *name)
{
        const char *id = owner_id(name);

        return id && *id ? text_of("%s/%s", name, id) : copy_text(name);
}

struct owner owner_of(const char *name)
{
        const struct bound *bound = *place_of(name);

        return bound ? bound->owner : (struct owner){ 0 };
}

/* ---- binding ---- */

struct binding {
        struct owner owner;
        enum owner_state state, before;
        void (*done)(void *ctx, const struct cause *cause);
        void *ctx;
        atomic_bool over; /* the name has gone on: not to be written any more */
        struct store_write write;
        struct binding *next;
};
static struct binding *bindings[BUCKETS]; /* under way, by the name; loop's */

static struct binding **bindings_of(const char *name)
{
        return &bindings[text_hash(name) % BUCKETS];
}

/* A write that the disk did not take is tried again later: what was said of the name since then counts. */
static void give_up_bindings(const char *name)
{
        for (struct binding *binding = *bindings_of(name); binding; binding = binding->next)
                if (strcmp(binding->owner.name, name) == 0)
                        atomic_store(&binding->over, true);
}

static int bind_work(struct store_write *write, struct database *db, struct cause *cause)
{
        const struct binding *binding = container_of(write, struct binding, write);

        if (atomic_load(&binding->over))
                return 0;
        return db_run(db, cause, "INSERT OR REPLACE INTO owner (name, id, state) VALUES (?, ?, ?)",
                      VALUES(v_text(binding->owner.name), v_text(binding->owner.id), v_int(binding->state)));
}

static void bind_done(struct store_write *write, const struct cause *cause)
{
        struct binding *binding = container_of(write, struct binding, write);
        struct bound *bound = *place_of(binding->owner.name);
        struct binding **at = bindings_of(binding->owner.name);

        while (*at != binding)
                at = &(*at)->next;
        *at = binding->next;
        if (cause && bound)
                bound->state = binding->before;
        if (cause && bound && binding->state == OWNER_GOING && !store_closing())
                owner_bind(binding->owner.name, binding->owner.id,
                           binding->before); /* what was given up for it */
        if (binding->done)
                binding->done(binding->ctx, cause);
        free(binding);
}

static void start(struct binding *binding)
{
        struct binding **first = bindings_of(binding->owner.name);

        binding->next = *first;
        *first = binding;
        store_write(&binding->write);
}

void owner_bind(const char *name, const char *id, enum owner_state state)
{
        struct binding *binding = new_object(struct binding);

        bind_name(name, id, state);
        give_up_bindings(name);
        *binding = (struct binding){ .owner = owner_of(name),
                                     .state = state,
                                     .before = state,
                                     .write = { .write = bind_work, .done = bind_done, .stubborn = true } };
        start(binding);
}

void owner_going(const char *name, void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct binding *binding = new_object(struct binding);
        struct bound *bound = *place_of(name);

        *binding = (struct binding){ .state = OWNER_GOING,
                                     .before = bound ? bound->state : OWNER_THERE,
                                     .done = done,
                                     .ctx = ctx,
                                     .write = { .write = bind_work, .done = bind_done } };
        if (!bound)
                bind_name(name, "", OWNER_THERE); /* never bound, as nothing was ever kept for it */
        binding->owner = owner_of(name);
        (*place_of(name))->state = OWNER_GOING;
        give_up_bindings(name);
        start(binding);
}

/* ---- removing what is under a name ---- */

struct renewal {
        struct owner owner; /* the new one */
        bool only_remove;
        bool over; /* the step was the last one */
        struct owner_rows rows, step;
        void (*unseen)(void *ctx, const struct owner_rows *rows); /* NULL: not asked for, or told */
        void (*done)(void *ctx, const struct owner_rows *rows, const struct cause *cause);
        void *ctx;
        struct store_write write;
        struct renewal *next;
};
static struct renewal *renewals[BUCKETS]; /* under way, by the name; loop's */

static struct renewal **renewals_of(const char *name)
{
        return &renewals[text_hash(name) % BUCKETS];
}

static int remove_messages(const char *name, struct owner_rows *removed, struct database *db,
                           struct cause *cause)
{
        uint64_t seqs[STEP_MESSAGES];
        size_t count = 0;
        struct message_row row;
        int more;
        {
                scoped(db_end) sqlite3_stmt *rows =
                        db_query(db, cause, "SELECT seq FROM message WHERE account = ? LIMIT ?",
                                 VALUES(v_text(name), v_int(STEP_MESSAGES)));
                while ((more = rows ? db_next(db, rows, cause) : -1) > 0 && count < STEP_MESSAGES)
                        seqs[count++] = (uint64_t)sqlite3_column_int64(rows, 0);
                if (more < 0)
                        return -1;
        }
        for (size_t i = 0; i < count; i++) {
                int found = queue_row_read(db, seqs[i], &row, cause);
                if (found < 0 || (found && queue_row_delete(db, &row, cause) < 0))
                        return -1;
                removed->messages++;
                removed->unsent += found && row.state != QUEUE_SENT;
        }
        return 0;
}

static int remove_received(const char *name, struct owner_rows *removed, struct database *db,
                           struct cause *cause)
{
        if (db_run(db, cause,
                   "DELETE FROM seen WHERE (place, uidvalidity, uid, uidl, generation) IN"
                   " (SELECT place, uidvalidity, uid, uidl, generation FROM seen"
                   " WHERE place IN (SELECT number FROM place WHERE account = ?) LIMIT ?)",
                   VALUES(v_text(name), v_int(STEP_RECEIVED))) < 0)
                return -1;
        removed->received = (uint64_t)db_changes(db);
        return db_run(db, cause,
                      "DELETE FROM untold WHERE place IN (SELECT number FROM place WHERE account = ?)",
                      VALUES(v_text(name)));
}

/* The files stay, and are found again should there be an account of that name. 1 = there may be more. */
static int remove_inbox(const char *name, struct database *db, struct cause *cause)
{
        if (db_run(db, cause,
                   "DELETE FROM inbox WHERE seq IN (SELECT seq FROM inbox WHERE account = ? LIMIT ?)",
                   VALUES(v_text(name), v_int(STEP_RECEIVED))) < 0)
                return -1;
        return db_changes(db) == STEP_RECEIVED;
}

/* A part of what may be much; 1 = there may be more, 0 = there is none left. */
static int remove_some(const char *name, struct owner_rows *removed, struct database *db, struct cause *cause)
{
        if (remove_messages(name, removed, db, cause) < 0)
                return -1;
        if (removed->messages == 0 && remove_received(name, removed, db, cause) < 0)
                return -1;
        if (removed->messages || removed->received == STEP_RECEIVED)
                return 1;
        return remove_inbox(name, db, cause);
}

static void add_rows(struct owner_rows *sum, const struct owner_rows *rows)
{
        sum->messages += rows->messages;
        sum->unsent += rows->unsent;
        sum->received += rows->received;
}

/* Its account was deleted while the name was to get a new identity: it must go on going. */
static int is_not_going(const char *name, struct database *db, struct cause *cause)
{
        int64_t state;

        if (db_number(db, cause, &state, OWNER_COMING, "SELECT state FROM owner WHERE name = ?",
                      VALUES(v_text(name))) < 0)
                return -1;
        return state == OWNER_GOING ? cause_set(cause, CAUSE_NOT_FOUND, "account %s is being deleted", name)
                                    : 0;
}

static int remove_last(const struct renewal *renewal, struct database *db, struct cause *cause)
{
        struct value name = v_text(renewal->owner.name);

        if (!renewal->only_remove && is_not_going(renewal->owner.name, db, cause) < 0)
                return -1;
        if (db_run(db, cause, "DELETE FROM cursor WHERE account = ?", VALUES(name)) < 0 ||
            db_run(db, cause, "DELETE FROM missing WHERE account = ?", VALUES(name)) < 0 ||
            db_run(db, cause, "DELETE FROM place WHERE account = ?", VALUES(name)) < 0 ||
            db_run(db, cause, "DELETE FROM box WHERE account = ?", VALUES(name)) < 0 ||
            db_run(db, cause, "DELETE FROM slot WHERE account = ?", VALUES(name)) < 0 ||
            db_run(db, cause, "DELETE FROM flood WHERE account = ?", VALUES(name)) < 0 ||
            db_run(db, cause, "DELETE FROM fact WHERE account = ?", VALUES(name)) < 0 ||
            db_run(db, cause, "DELETE FROM owner WHERE name = ?", VALUES(name)) < 0)
                return -1;
        return renewal->only_remove
                       ? 0
                       : db_run(db, cause, "INSERT INTO owner (name, id, state) VALUES (?, ?, ?)",
                                VALUES(name, v_text(renewal->owner.id), v_int(OWNER_COMING)));
}

static void forget_step(struct store_write *write)
{
        struct renewal *renewal = container_of(write, struct renewal, write);

        renewal->over = false;
        renewal->step = (struct owner_rows){ 0 };
}

/* A step that finds nothing left of what may be much is the last. Each part of it changes pages all over the
 * indexes: the more parts share a commit, the less is written, so it goes on while nobody else has anything
 * to write. */
static int renew_step(struct store_write *write, struct database *db, struct cause *cause)
{
        struct renewal *renewal = container_of(write, struct renewal, write);
        int64_t until = time_monotonic_ms() + STEP_MS;
        int more;

        do {
                struct owner_rows part = { 0 };
                more = remove_some(renewal->owner.name, &part, db, cause);
                add_rows(&renewal->step, &part);
        } while (more > 0 && !store_others_write() && time_monotonic_ms() < until);
        renewal->over = more == 0;
        return renewal->over ? remove_last(renewal, db, cause) : more < 0 ? -1 : 0;
}

static void renewed(struct renewal *renewal, const struct cause *cause)
{
        const char *name = renewal->owner.name;

        if (!cause) {
                kept_forget(name);
                maildir_doubt(name, NULL);
                inbox_doubt(name);
                let_go(name);
                if (!renewal->only_remove)
                        bind_name(name, renewal->owner.id, OWNER_COMING);
        }
        struct renewal **at = renewals_of(name);
        while (*at != renewal)
                at = &(*at)->next;
        *at = renewal->next;
        renewal->done(renewal->ctx, &renewal->rows, cause);
        free(renewal);
}

static void renew_done(struct store_write *write, const struct cause *cause)
{
        struct renewal *renewal = container_of(write, struct renewal, write);

        if (!cause)
                add_rows(&renewal->rows, &renewal->step);
        if (!cause && !renewal->over && renewal->unseen && !renewal->step.messages &&
            renewal->rows.received >= MANY_RECEIVED)
                take(renewal->unseen)(renewal->ctx, &renewal->rows);
        if (cause || renewal->over) {
                renewed(renewal, cause);
        } else if (store_closing()) {
                struct cause ending;
                (void)cause_set(&ending, CAUSE_CANCELLED, "the daemon is ending");
                renewed(renewal, &ending);
        } else {
                store_write(&renewal->write);
        }
}

static void begin_renewal(const char *name, const char *id, bool stubborn,
                          void (*unseen)(void *ctx, const struct owner_rows *rows),
                          void (*done)(void *ctx, const struct owner_rows *rows, const struct cause *cause),
                          void *ctx)
{
        struct renewal *renewal = new_object(struct renewal);

        give_up_bindings(name);
        *renewal = (struct renewal){ .only_remove = !id,
                                     .unseen = unseen,
                                     .done = done,
                                     .ctx = ctx,
                                     .write = { .write = renew_step,
                                                .forget = forget_step,
                                                .done = renew_done,
                                                .stubborn = stubborn } };
        (void)snprintf(renewal->owner.name, sizeof renewal->owner.name, "%s", name);
        (void)snprintf(renewal->owner.id, sizeof renewal->owner.id, "%s", id ? id : "");
        if (*place_of(name))
                renewal->rows = (*place_of(name))->found;
        struct renewal **first = renewals_of(name);
        renewal->next = *first;
        *first = renewal;
        store_write(&renewal->write);
}

void owner_renew(const char *name, const char *id, bool stubborn,
                 void (*done)(void *ctx, const struct owner_rows *rows, const struct cause *cause), void *ctx)
{
        begin_renewal(name, id, stubborn, NULL, done, ctx);
}

void owner_remove(const char *name, void (*unseen)(void *ctx, const struct owner_rows *rows),
                  void (*done)(void *ctx, const struct owner_rows *rows, const struct cause *cause),
                  void *ctx)
{
        begin_renewal(name, NULL, true, unseen, done, ctx);
}

bool owner_is_renewed(const char *name)
{
        for (const struct renewal *renewal = *renewals_of(name); renewal; renewal = renewal->next)
                if (strcmp(renewal->owner.name, name) == 0)
                        return true;
        return false;
}

/* ---- before the loop ---- */

static int read_owners(struct database *db, struct cause *cause)
{
        int more;
        scoped(db_end) sqlite3_stmt *rows = db_query(db, cause, "SELECT name, id, state FROM owner", NULL, 0);

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0)
                bind_name((const char *)sqlite3_column_text(rows, 0),
                          (const char *)sqlite3_column_text(rows, 1),
                          (enum owner_state)sqlite3_column_int(rows, 2));
        return more;
}

/* Nobody is to see a message of an account that was deleted. What it had received, which may be a million,
 * nobody sees: that goes in steps once the daemon runs. */
static int remove_going(struct bound *bound, struct database *db, struct cause *cause)
{
        struct owner_rows step;

        do {
                step = (struct owner_rows){ 0 };
                if (remove_messages(bound->owner.name, &step, db, cause) < 0)
                        return -1;
                add_rows(&bound->found, &step);
        } while (step.messages);
        return 0;
}

int owners_load(struct database *db, struct cause *cause)
{
        if (read_owners(db, cause) < 0)
                return -1;
        for (size_t i = 0; i < BUCKETS; i++)
                for (struct bound *bound = bounds[i]; bound; bound = bound->next)
                        if (bound->state == OWNER_GOING && remove_going(bound, db, cause) < 0)
                                return -1;
        return 0;
}

void owners_free(void)
{
        for (size_t i = 0; i < BUCKETS; i++)
                while (bounds[i])
                        let_go(bounds[i]->owner.name);
}
